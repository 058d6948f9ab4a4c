// Says what Node's parser made of everything that came: a line of JSON a request, before its answer is sent.
//
// The first line is the port. A request whose body did not end is told as such, and so is what was no request. With
// --insecure-http-parser it is a reader that takes much of what it should not.

import { createServer } from "node:http";

const tell = (record) => process.stdout.write(`${JSON.stringify(record)}\n`);

const server = createServer({ maxHeaderSize: 1 << 17, keepAliveTimeout: 60_000, requireHostHeader: true });

server.on("request", (request, answer) => {
  const body = [];
  const told = (whole) =>
    tell({
      whole,
      method: request.method,
      target: request.url,
      fields: request.rawHeaders,
      trailers: request.rawTrailers,
      body: Buffer.concat(body).toString("latin1"),
    });
  request.on("data", (bytes) => body.push(bytes));
  request.on("end", () => {
    told(true);
    answer.end("seen\n");
  });
  request.on("error", () => told(false));
});

server.on("clientError", (error, socket) => {
  tell({ error: error.code ?? String(error) });
  socket.destroy();
});

server.listen(0, "127.0.0.1", () => tell({ port: server.address().port }));
