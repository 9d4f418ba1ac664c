"""Files and downloads: what is looked in first, and every way a copy can be wrong; the server is local."""

import gzip
import hashlib
import http.server
import os
import socket
import subprocess
import sys
import threading
import time
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import torch
from filelock import FileLock
from typer.testing import CliRunner

from robustxai._cli._environment import absolute_data_folder
from robustxai._cli.data import app
from robustxai.data import (
    ChecksumError,
    DownloadError,
    NotAvailable,
    catalog as catalog_function,
    fetch,
    load,
)
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
        if self.path == "/endless":
            return self.trickle()
        body = {"/good": BODY, "/altered": b"x" + BODY[1:]}.get(self.path, BODY[: len(BODY) // 2])
        self.send_response(404 if self.path == "/gone" else 200)
        self.send_header("Content-Length", str(len(BODY) if self.path == "/cut" else len(body)))
        self.end_headers()
        self.wfile.write(body)

    def trickle(self):
        """Bytes until nobody listens, at most for two minutes."""
        self.send_response(200)
        self.send_header("Content-Length", str(10**9))
        self.end_headers()
        for _ in range(2400):
            try:
                self.wfile.write(bytes(20_000))
            except OSError:
                return
            time.sleep(0.05)

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
    assert fetch.read_file(e, file, download=True) == BODY
    assert left(tmp_path) == ["body.bin"] and (tmp_path / "cache/fake/body.bin").read_bytes() == BODY
    assert fetch.read_file(e, file) == BODY and server.asked == ["/good"]


def test_downloads_go_to_root_and_are_found_there(server, tmp_path):
    e, file = one_file(server, "/good")
    fetch.read_file(e, file, root=tmp_path / "mine", download=True)
    assert left(tmp_path / "mine") == ["body.bin"]
    assert fetch.read_file(e, file, root=str(tmp_path / "mine")) == BODY
    with pytest.raises(NotAvailable):
        fetch.read_file(e, file)


def start_and_kill(url: str, root: Path) -> None:
    """A process that downloads a body which never ends, and is killed when it has written some of it."""
    code = (
        "from dataclasses import replace; from pathlib import Path\n"
        "from robustxai.data import fetch; from robustxai.data.catalog import entry\n"
        "from robustxai.data.files import File\n"
        f"file = File('body.bin', ('0',), 1, ({url!r},), 10**9)\n"
        f"fetch.fetch(replace(entry('mnist'), folder='fake'), file, Path({str(root)!r}))\n"
    )
    with subprocess.Popen([sys.executable, "-c", code]) as process:
        end = time.monotonic() + 120
        while not any(p.stat().st_size for p in root.rglob("*.part")):
            assert time.monotonic() < end and process.poll() is None
            time.sleep(0.05)
        process.kill()


@pytest.mark.skipif(os.name != "posix", reason="kills a process")
def test_what_a_killed_download_left_goes_with_the_next_one(server, tmp_path):
    e, file = one_file(server, "/good")
    start_and_kill(f"http://127.0.0.1:{server.server_address[1]}/endless", tmp_path / "cache")
    (tmp_path / "cache/fake/.body.bin.old.part").write_bytes(b"of a version without locks")
    assert len(left(tmp_path)) == 3
    assert fetch.read_file(e, file, download=True) == BODY
    assert left(tmp_path) == ["body.bin"]


def test_a_download_that_another_process_has_under_way_is_left_alone(server, tmp_path):
    e, file = one_file(server, "/good")
    part = tmp_path / "cache/fake/.body.bin.other.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(b"half")
    with FileLock(part.with_suffix(".lock")):
        assert fetch.read_file(e, file, download=True) == BODY
        assert part.read_bytes() == b"half"
    assert fetch.fetch(e, file, tmp_path / "cache") == BODY and left(tmp_path) == ["body.bin"]


def test_an_altered_copy_of_the_prepared_size_did_not_break_off(server, tmp_path):
    e, file = one_file(server, "/altered")
    with pytest.raises(ChecksumError, match="its sha256 is"):
        fetch.read_file(e, replace(file, upstream_size=len(BODY) + 1), download=True)
    assert left(tmp_path) == []


@pytest.mark.parametrize("written", ["{}", " {} ", "'{}'", '"{}"', "{}\r", "{}\n", '"{}"\r\n'])
@pytest.mark.parametrize("path", ["{tmp}/my data", "~/my data", "my data", "./my data"])
def test_the_variable_is_read_as_a_person_means_it(monkeypatch, tmp_path, written, path):
    (tmp_path / "my data").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.setenv("ROBUSTXAI_DATA", written.format(path.format(tmp=tmp_path)))
    assert fetch.named_folder() == tmp_path / "my data"
    assert fetch.folders()[0] == tmp_path / "my data"
    assert absolute_data_folder() == {"ROBUSTXAI_DATA": str(tmp_path / "my data")}


@pytest.mark.parametrize("value", ["", " ", "''", '" "', "\r"])
def test_an_empty_variable_names_no_folder(monkeypatch, value):
    monkeypatch.setenv("ROBUSTXAI_DATA", value)
    assert fetch.named_folder() is None and fetch.folders() == [fetch.cache()]
    assert absolute_data_folder() == {"ROBUSTXAI_DATA": ""}


def test_a_folder_of_somebody_unknown_is_named(monkeypatch):
    monkeypatch.setenv("ROBUSTXAI_DATA", "~nobody_of_that_name/data")
    with pytest.raises(
        NotAvailable, match=r"^ROBUSTXAI_DATA names '~nobody_of_that_name/data', which is not a "
    ):
        fetch.folders()


@pytest.mark.parametrize("path", ["/short", "/cut"])
def test_a_truncated_download_says_how_far_it_came_and_leaves_nothing(server, tmp_path, path):
    e, file = one_file(server, path)
    with pytest.raises(
        DownloadError,
        match=rf"^the download of body.bin from http://127.* broke off after \d+ of {len(BODY)} ",
    ):
        fetch.read_file(e, file, download=True)
    assert left(tmp_path) == []


def test_an_altered_download_is_refused_and_leaves_nothing(server, tmp_path):
    e, file = one_file(server, "/altered")
    with pytest.raises(
        ChecksumError,
        match=r"^http://127.*/altered is altered or incomplete and was not used: its sha256 is ",
    ):
        fetch.read_file(e, file, download=True)
    assert left(tmp_path) == []


def test_the_next_address_is_tried(server, tmp_path):
    e, file = one_file(server, "/gone", "/altered", "/short", "/good")
    assert fetch.read_file(e, file, download=True) == BODY
    assert server.asked == ["/gone", "/altered", "/short", "/good"] and left(tmp_path) == ["body.bin"]


def test_a_status_is_told(server, tmp_path):
    e, file = one_file(server, "/gone")
    with pytest.raises(DownloadError, match=r"could not be reached \(status 404\)"):
        fetch.read_file(e, file, download=True)
    assert left(tmp_path) == []


def test_nobody_listens(tmp_path):
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    file = File("body.bin", (DIGEST,), len(BODY), (f"http://127.0.0.1:{port}/good",), len(BODY))
    with pytest.raises(DownloadError, match=r"could not be reached \((ConnectionError|ProxyError)\)"):
        fetch.read_file(replace(entry("mnist"), files=(file,)), file, download=True)
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
        fetch.read_file(e, file, download=True)
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
