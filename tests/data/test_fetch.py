"""Files and downloads: what is looked in first, and every way a copy can be wrong; the server is local."""

import gzip
import hashlib
import http.server
import os
import socket
import threading
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from robustxai._cli.data import app
from robustxai.data import ChecksumError, DownloadError, NotAvailable, fetch, load
from robustxai.data import catalog as catalog_function
from robustxai.data.catalog import ENTRIES, entry
from robustxai.data.files import File

BODY = bytes(range(256)) * 400
DIGEST = hashlib.sha256(BODY).hexdigest()


class Server(http.server.ThreadingHTTPServer):
    """Offers /good, /altered, /gone (404), /short (half the body) and /cut (half, under the full length)."""

    daemon_threads = True
    asked: list[str]


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        assert isinstance(self.server, Server)
        self.server.asked.append(self.path)
        body = {"/good": BODY, "/altered": b"x" + BODY[1:]}.get(self.path, BODY[: len(BODY) // 2])
        self.send_response(404 if self.path == "/gone" else 200)
        self.send_header("Content-Length", str(len(BODY) if self.path == "/cut" else len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with Server(("127.0.0.1", 0), Handler) as s:
        s.asked = []
        thread = threading.Thread(target=s.serve_forever)
        thread.start()
        yield s
        s.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def empty_machine(monkeypatch, tmp_path):
    monkeypatch.delenv("ROBUSTXAI_DATA", raising=False)
    monkeypatch.setattr(fetch, "cache", lambda: tmp_path / "cache")


def one_file(server, *paths: str):
    """An entry with one file that the server offers under these paths."""
    urls = tuple(f"http://127.0.0.1:{server.server_address[1]}{p}" for p in paths)
    file = File("body.bin", (DIGEST,), len(BODY), urls, len(BODY))
    return replace(entry("mnist"), name="fake", folder="fake", files=(file,)), file


def left(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.rglob("*") if p.is_file())


def test_a_good_download_is_kept_and_used_again(server, tmp_path):
    e, file = one_file(server, "/good")
    assert fetch.read(e, file, download=True) == BODY
    assert left(tmp_path) == ["body.bin"] and (tmp_path / "cache/fake/body.bin").read_bytes() == BODY
    assert fetch.read(e, file) == BODY and server.asked == ["/good"]


def test_downloads_go_to_root_and_are_found_there(server, tmp_path):
    e, file = one_file(server, "/good")
    fetch.read(e, file, root=tmp_path / "mine", download=True)
    assert left(tmp_path / "mine") == ["body.bin"]
    assert fetch.read(e, file, root=str(tmp_path / "mine")) == BODY
    with pytest.raises(NotAvailable):
        fetch.read(e, file)


@pytest.mark.parametrize("path", ["/short", "/cut"])
def test_a_truncated_download_says_how_far_it_came_and_leaves_nothing(server, tmp_path, path):
    e, file = one_file(server, path)
    with pytest.raises(
        DownloadError,
        match=rf"^the download of body.bin from http://127.* broke off after \d+ of {len(BODY)} ",
    ):
        fetch.read(e, file, download=True)
    assert left(tmp_path) == []


def test_an_altered_download_is_refused_and_leaves_nothing(server, tmp_path):
    e, file = one_file(server, "/altered")
    with pytest.raises(
        ChecksumError,
        match=r"^http://127.*/altered is altered or incomplete and was not used: its sha256 is ",
    ):
        fetch.read(e, file, download=True)
    assert left(tmp_path) == []


def test_the_next_address_is_tried(server, tmp_path):
    e, file = one_file(server, "/gone", "/altered", "/short", "/good")
    assert fetch.read(e, file, download=True) == BODY
    assert server.asked == ["/gone", "/altered", "/short", "/good"] and left(tmp_path) == ["body.bin"]


def test_a_status_is_told(server, tmp_path):
    e, file = one_file(server, "/gone")
    with pytest.raises(DownloadError, match=r"could not be reached \(status 404\)"):
        fetch.read(e, file, download=True)
    assert left(tmp_path) == []


def test_nobody_listens(tmp_path):
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    file = File("body.bin", (DIGEST,), len(BODY), (f"http://127.0.0.1:{port}/good",), len(BODY))
    with pytest.raises(DownloadError, match=r"could not be reached \((ConnectionError|ProxyError)\)"):
        fetch.read(replace(entry("mnist"), files=(file,)), file, download=True)
    assert left(tmp_path) == []


def no_network(*args, **kwargs):
    raise socket.gaierror("no network")


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist", "cifar10"])
def test_no_network_names_the_offline_sets(monkeypatch, tmp_path, name):
    monkeypatch.setattr(socket, "getaddrinfo", no_network)
    with pytest.raises(DownloadError) as error:
        load(name, "test", download=True)
    sentence = str(error.value)
    assert (
        sentence.startswith(f"{name} is not on this machine and http") and "could not be reached" in sentence
    )
    assert "sets that need no file: menagerie, digits, breast_cancer." in sentence and "\n" not in sentence
    assert left(tmp_path) == []


def test_cli_get_without_a_network_is_one_sentence(monkeypatch, tmp_path):
    monkeypatch.setattr(socket, "getaddrinfo", no_network)
    result = CliRunner().invoke(app, ["get", "mnist", "--root", str(tmp_path)])
    assert result.exit_code == 1 and result.stdout == "" and result.stderr.count("\n") == 1
    assert result.stderr.startswith("robustxai data: mnist is not on this machine and https://")
    assert left(tmp_path) == []


def test_an_altered_file_in_the_data_folder_is_named_and_never_used(server, monkeypatch, tmp_path):
    e, file = one_file(server, "/good")
    bad = tmp_path / "data" / "fake" / "body.bin"
    bad.parent.mkdir(parents=True)
    bad.write_bytes(BODY[:-1] + b"x")
    monkeypatch.setenv("ROBUSTXAI_DATA", str(tmp_path / "data"))
    with pytest.raises(ChecksumError) as error:
        fetch.read(e, file, download=True)
    assert (
        str(error.value).startswith(f"{bad} is altered or incomplete and was not used") and server.asked == []
    )
    assert bad.exists()


def test_root_comes_before_the_variable_and_the_variable_before_the_cache(server, monkeypatch, tmp_path):
    e, file = one_file(server, "/good")
    monkeypatch.setenv("ROBUSTXAI_DATA", str(tmp_path / "data"))
    for folder in ("root", "data", "cache"):
        (tmp_path / folder / "fake").mkdir(parents=True)
        (tmp_path / folder / "fake" / "body.bin").write_bytes(BODY)
    found = fetch.locate(e, file, tmp_path / "root"), fetch.locate(e, file)
    assert found == (tmp_path / "root/fake/body.bin", tmp_path / "data/fake/body.bin")
    os.remove(tmp_path / "data/fake/body.bin")
    assert fetch.locate(e, file) == tmp_path / "cache/fake/body.bin"


def idx_gz(array: np.ndarray) -> bytes:
    head = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes()
    return gzip.compress(head + array.astype(np.uint8).tobytes())


def test_load_reads_idx_files_from_a_temporary_folder(monkeypatch, tmp_path):
    rng = np.random.default_rng(0)
    arrays = [
        rng.integers(0, 256, (6, 28, 28)),
        rng.integers(0, 10, 6),
        rng.integers(0, 256, (4, 28, 28)),
        rng.integers(0, 10, 4),
    ]
    files = []
    (tmp_path / "mnist").mkdir()
    for original, array in zip(entry("mnist").files, arrays, strict=True):
        data = idx_gz(array)
        (tmp_path / "mnist" / original.name).write_bytes(data)
        files.append(replace(original, sha256=(fetch.sha256(data),)))
    small = replace(entry("mnist"), files=tuple(files))
    table = import_module("robustxai.data.catalog")  # the package attribute of that name is the function
    monkeypatch.setattr(table, "ENTRIES", tuple(small if e.name == "mnist" else e for e in ENTRIES))
    assert small in catalog_function()
    d = load("mnist", "test", root=tmp_path)
    assert d.y.tolist() == arrays[3].tolist()
    assert torch.equal((d.x[:, 0] * 255).round().int(), torch.from_numpy(arrays[2]).int())
    image_file = tmp_path / "mnist" / files[0].name
    image_file.write_bytes(image_file.read_bytes()[:-20])
    with pytest.raises(ChecksumError, match=r"train-images-idx3-ubyte.gz is altered or incomplete"):
        load("mnist", "train", root=tmp_path)
    assert len(load("mnist", "test", root=tmp_path)) == 4
