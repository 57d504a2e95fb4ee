"""A server on this machine that breaks off, refuses and damages files as a test says, and an entry of the EMDB on it."""

import contextlib
import gzip
import http.server
import threading


class Server(http.server.BaseHTTPRequestHandler):
    """Honours ranges; ``files`` by path, ``faults`` by path in their order, ``asked`` is (path, first byte)."""

    files = {}
    faults = {}
    asked = []

    def do_GET(self):
        name = self.path.strip("/")
        body = self.files.get(name)
        begin = int(self.headers.get("Range", "bytes=0-")[6:-1])
        self.asked.append((name, begin))
        fault = self.faults.get(name, []).pop(0) if self.faults.get(name) else ""
        if body is None or fault.isdigit():
            self.send_error(int(fault or 404))
            return
        if fault == "damaged":
            body = body[:-4] + b"oops"
        self.send_response(206 if begin else 200)
        self.send_header("Content-Length", str(len(body) - begin))
        self.end_headers()
        self.wfile.write(body[begin : begin + (len(body) - begin) // 2] if fault == "cut" else body[begin:])

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def serving(files):
    """Serve files by their paths; yields the server's address."""
    Server.files, Server.faults, Server.asked = dict(files), {}, []
    running = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
    thread = threading.Thread(target=running.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{running.server_address[1]}"
    finally:
        running.shutdown()
        thread.join()
        running.server_close()


HEADER = """<?xml version="1.0" encoding="UTF-8"?>
<emd emdb_id="EMD-{number}" version="3.0.2.6">
  <admin><title>A molecule
    of the tests</title></admin>
  <structure_determination_list><structure_determination><singleparticle_processing><final_reconstruction>
    <resolution units="&#197;" type="BY AUTHOR">{resolution}</resolution>
    <resolution_method>FSC 0.143 CUT-OFF</resolution_method>
  </final_reconstruction></singleparticle_processing></structure_determination></structure_determination_list>
  <map format="CCP4" size_kbytes="1">
    <file>emd_{number}.map.gz</file>
    <contour_list><contour primary="true"><level>0.25</level><source>AUTHOR</source></contour></contour_list>
  </map>
  <interpretation>{halves}</interpretation>
</emd>
"""


def emdb_files(number, paths, resolution=4.0):
    """The files of an entry by the EMDB's paths: ``paths`` are the map and, where it has them, its half maps."""
    names = [f"emd_{number}_half_map_{k}.map.gz" for k in (1, 2)][: len(paths) - 1]
    listed = "".join(f"<half_map><file>{name}</file></half_map>" for name in names)
    halves = f"<half_map_list>{listed}</half_map_list>" if names else ""
    header = HEADER.format(number=number, resolution=resolution, halves=halves)
    places = [f"map/emd_{number}.map.gz", *(f"other/{name}" for name in names)]
    found = {f"EMD-{number}/header/emd-{number}-v30.xml": header.encode()}
    for place, path in zip(places, paths):
        with open(path, "rb") as stream:
            found[f"EMD-{number}/{place}"] = gzip.compress(stream.read(), mtime=0)
    return found
