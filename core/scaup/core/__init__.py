"""The kernel every service shares: the model of events, their encodings, filters, bus, HTTP and run time.

Layers, lower ones never import higher ones: ``model`` < ``codec``, ``filters`` < ``bus``, ``http`` < ``runtime``.
"""

from scaup.core import lean

lean.arrange()
