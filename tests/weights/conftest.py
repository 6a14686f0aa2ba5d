import hashlib
import threading
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest


class _Hub(BaseHTTPRequestHandler):
    """Answers the requests of Hugging Face's client for files, `/OWNER/NAME/resolve/REVISION/FILE`."""

    def __init__(self, root, *arguments):
        self.root = root
        super().__init__(*arguments)

    def do_HEAD(self):
        repository, _, rest = self.path.strip("/").partition("/resolve/")
        path = self.root / repository / rest.partition("/")[2]
        found = path.is_file()
        content = path.read_bytes() if found else b""
        self.send_response(200 if found else 404)
        self.send_header("Content-Length", str(len(content)))
        if found:
            self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
            self.send_header("X-Repo-Commit", "0" * 40)
        else:
            self.send_header("X-Error-Code", "EntryNotFound" if path.parent.is_dir() else "RepoNotFound")
        self.end_headers()
        return content

    def do_GET(self):
        self.wfile.write(self.do_HEAD())

    def log_request(self, code="-", size="-"):
        pass


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """The directory of the repository "timm/small" of a hub that this machine serves, below the current directory."""
    from huggingface_hub import constants

    directory = tmp_path / "timm" / "small"
    directory.mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "timm")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Hub, tmp_path)) as server:
        address = f"http://127.0.0.1:{server.server_port}"
        monkeypatch.setattr(
            constants,
            "HUGGINGFACE_CO_URL_TEMPLATE",
            address + constants.HUGGINGFACE_CO_URL_TEMPLATE[len(constants.ENDPOINT) :],
        )
        monkeypatch.setattr(constants, "ENDPOINT", address)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield directory
        server.shutdown()
