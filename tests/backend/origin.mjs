// An application as there are many: answers a path with its name, echoes what
// is posted to /mirror while it comes, and tells who it is.
import { createServer } from "node:http";

const server = createServer((request, response) => {
  if (request.url === "/mirror") {
    if (request.headers["content-length"]) {
      response.setHeader("content-length", request.headers["content-length"]);
    }
    request.pipe(response);
    return;
  }
  request.resume();
  request.on("end", () => response.end(`${request.method} ${request.url}`));
});
server.listen(Number(process.argv[2] ?? 0), "127.0.0.1", () => console.log(server.address().port));
