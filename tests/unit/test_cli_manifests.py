"""Files of definitions: what is read, and where exactly something cannot be."""

from __future__ import annotations

from pathlib import Path

import pytest

from scaup.cli import manifests
from scaup.cli.manifests import Identity
from scaup.cli.problems import UsageError
from scaup.core.model.errors import DefinitionError

FILE = Path("some.yaml")
GOOD = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\n"


def test_documents_know_their_line_and_empty_ones_are_passed_over() -> None:
    found = manifests.parse(f"---\n{GOOD}---\n# nothing\n---\n{GOOD.replace('name: a', 'name: b')}", FILE)
    assert [document.line for document in found] == [2, 9]


def test_json_is_read_as_well() -> None:
    text = '{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "n"}}'
    (found,) = manifests.parse(text, FILE)
    assert found.identity("default") == Identity("v1", "ConfigMap", "n", "a")


def test_a_list_is_taken_apart() -> None:
    items = "".join(f"- apiVersion: v1\n  kind: ConfigMap\n  metadata: {{name: {name}}}\n" for name in "ab")
    found = manifests.parse(f"apiVersion: v1\nkind: List\nitems:\n{items}", FILE)
    assert [document.content["metadata"]["name"] for document in found] == ["a", "b"]


def test_a_time_stays_the_text_it_is() -> None:
    (found,) = manifests.parse(GOOD + "data: {since: 2026-01-31T12:00:00Z}\n", FILE)
    assert found.content["data"]["since"] == "2026-01-31T12:00:00Z"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (GOOD + "data: [\n", r"some.yaml:6: this is not YAML"),
        (GOOD + "kind: Secret\n", r"some.yaml:5: this is not YAML: the key 'kind' is there twice"),
        ("- 1\n", r"some.yaml:1: expected an object with apiVersion, kind and metadata"),
        ("\n\nkind: A\n", r"some.yaml:3: apiVersion is missing"),
        ("apiVersion: v1\n", r"some.yaml:1: kind is missing"),
        ("apiVersion: v1\nkind: A\n", r"some.yaml:1: metadata.name of the A is missing"),
        ("apiVersion: v1\nkind: A\nmetadata: {name: a, namespace: 1}\n", r"metadata.namespace of the A is no text"),
        ("a: !!python/object:os.system {}\n", r"some.yaml:1: this is not YAML"),
        ("a: \x00\n", r"some.yaml: this is not YAML"),
    ],
)
def test_what_cannot_be_read_is_named_with_file_and_line(text: str, said: str) -> None:
    with pytest.raises(DefinitionError, match=said):
        manifests.parse(text, FILE)


def test_directories_are_read_with_what_is_below_but_without_hidden_files(tmp_path: Path) -> None:
    for name in ("b.yaml", "a.json", "c.txt", "deep/d.YML", ".e.yaml", ".git/f.yaml"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    found = [str(path.relative_to(tmp_path)) for path in manifests.files([tmp_path])]
    assert found == ["a.json", "b.yaml", "deep/d.YML"]


def test_a_file_that_is_not_there_or_not_text_is_an_error_of_its_own(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not exist"):
        manifests.require([tmp_path / "a.yaml"])
    (tmp_path / "b.yaml").write_bytes(b"\xff\xfe")
    with pytest.raises(DefinitionError, match="it is not UTF-8"):
        manifests.read(tmp_path / "b.yaml")
