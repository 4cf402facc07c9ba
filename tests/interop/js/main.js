/* The CloudEvents SDK for JavaScript as a producer or as a sink.
 *
 *   node main.js send URL   posts what is described on standard input, prints the status
 *   node main.js sink       listens on a free port, prints it, then every event as the SDK understands it, one a line
 *
 * A sink answers an event of type com.example.asks with a reply.
 */
"use strict";

const http = require("node:http");
const { CloudEvent, HTTP } = require("cloudevents");

const BATCH = "application/cloudevents-batch+json";
const KNOWN = new Set([
  "specversion", "id", "source", "type", "subject", "time", "datacontenttype", "datacontentencoding", "dataschema",
  "schemaurl", "data", "data_base64",
]);

function made(from) {
  const { schema, data, extensions, ...rest } = from;
  if (schema) rest[from.specversion === "0.3" ? "schemaurl" : "dataschema"] = schema;
  const whole = { ...rest, ...extensions };
  if (data !== undefined) {
    const bytes = Buffer.from(data, "base64");
    const kind = from.datacontenttype;
    if (kind === "application/json") whole.data = JSON.parse(bytes.toString());
    else if (kind.startsWith("text/")) whole.data = bytes.toString();
    else if (from.specversion === "0.3") Object.assign(whole, { datacontentencoding: "base64", data });
    else whole.data = new Uint8Array(bytes);
  }
  return new CloudEvent(whole);
}

function written(mode, events) {
  if (mode === "binary") return HTTP.binary(events[0]);
  if (mode === "structured") return HTTP.structured(events[0]);
  // The SDK reads batches and writes none: this is what its users do.
  return { headers: { "content-type": BATCH }, body: JSON.stringify(events) };
}

async function send(url) {
  const chunks = [];
  for await (const chunk of process.stdin) chunks.push(chunk);
  const { mode, events } = JSON.parse(Buffer.concat(chunks).toString());
  const { headers, body } = written(mode, events.map(made));
  const request = http.request(url, { method: "POST", headers });
  const answer = await new Promise((resolve, reject) => {
    request.on("response", resolve).on("error", reject);
    request.end(body);
  });
  const said = [];
  for await (const chunk of answer) said.push(chunk);
  print({ status: answer.statusCode, body: Buffer.concat(said).toString() });
}

function bytesOf(event) {
  if (event.data_base64) return Buffer.from(event.data_base64, "base64");
  if (event.data === undefined || event.data === null) return Buffer.alloc(0);
  if (ArrayBuffer.isView(event.data)) return Buffer.from(event.data); // of Uint32Array every element is a byte
  return Buffer.from(typeof event.data === "string" ? event.data : JSON.stringify(event.data));
}

function understood(event) {
  const extensions = Object.fromEntries(Object.entries(event).filter(([name]) => !KNOWN.has(name)));
  const { specversion, id, source, type, subject, time, datacontenttype } = event;
  const schema = event.dataschema || event.schemaurl;
  const data = bytesOf(event).toString("base64");
  return { specversion, id, source, type, subject, time, datacontenttype, schema, extensions, data };
}

function reply(event) {
  return new CloudEvent({
    specversion: event.specversion, id: `reply-to-${event.id}`, source: "/js/sink", type: "com.example.reply",
    anint: 7, datacontenttype: "application/json", data: { to: event.id },
  });
}

function sink() {
  const server = http.createServer(async (request, response) => {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    const whole = Buffer.concat(chunks);
    const isText = /json|^text\//.test(request.headers["content-type"] || "");
    const event = HTTP.toEvent({ headers: request.headers, body: isText ? whole.toString() : whole });
    print(understood(event));
    if (event.type !== "com.example.asks") return response.writeHead(204).end();
    const { headers, body } = event.replymode === "structured" ? HTTP.structured(reply(event)) : HTTP.binary(reply(event));
    return response.writeHead(200, headers).end(body);
  });
  server.listen(0, "127.0.0.1", () => print({ port: server.address().port }));
}

function print(value) {
  process.stdout.write(`${JSON.stringify(value)}\n`);
}

const [order, url] = process.argv.slice(2);
if (order === "send" && url) send(url);
else if (order === "sink") sink();
else {
  process.stderr.write("node main.js send URL | node main.js sink\n");
  process.exitCode = 2;
}
