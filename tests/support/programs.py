"""Programs beside a test: any command, Prometheus and Alertmanager, on ports from the system."""

import json
import re
import shutil
import subprocess
import threading
import urllib.request
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from urllib.error import HTTPError
from urllib.parse import quote

import pytest

PATIENCE = 30  # seconds
PAUSE = 0.1  # seconds that a process gets to fail while its answer is not there yet

_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def tool(name, package="Prometheus"):
    """Return the path of one of a package's tools."""
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"needs {name} on the PATH: install {package}")
    return path


class Program:
    """A process of which one stream is read to its end, so that it never waits for a reader."""

    def __init__(self, running, stream):
        self.running = running
        self._text = b""
        self._news = threading.Condition()
        self._ended = False
        self._reader = threading.Thread(target=self._read, args=(stream,))
        self._reader.start()

    def _read(self, stream):
        while piece := stream.read1():
            with self._news:
                self._text += piece
                self._news.notify_all()
        with self._news:
            self._ended = True
            self._news.notify_all()

    @property
    def text(self):
        """What it has written so far."""
        return self._text.decode(errors="replace")

    def line(self, wanted):
        """Wait until what it has written matches, and return the match."""
        with self._news:
            self._news.wait_for(lambda: self._ended or re.search(wanted, self.text), PATIENCE)
        match = re.search(wanted, self.text)
        assert match, f"{self.running.args[0]} did not get ready:\n{self.text}"
        return match

    def eventually(self, asked):
        """Ask until the answer is neither None nor an error, as long as the process lives."""
        for _ in range(int(PATIENCE / PAUSE)):
            try:
                answer = asked()
            except OSError:
                answer = None
            if answer is not None:
                return answer
            try:
                self.running.wait(PAUSE)
            except subprocess.TimeoutExpired:
                continue
            raise AssertionError(f"{self.running.args[0]} has ended:\n{self.text}")
        raise AssertionError(f"nothing within {PATIENCE} s:\n{self.text}")

    def join(self):
        """Wait until it writes no more."""
        self._reader.join()

    def end(self):
        """Ask it to end, and see that it ends well."""
        self.running.terminate()
        self.join()
        assert self.running.wait(PATIENCE) in (0, -15), self.text


@contextmanager
def process(*command, ready, stream="stderr"):
    """Run a command, wait for a line of its output that matches, and hand out program and match;
    end it by its id.
    """
    pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, stream: subprocess.PIPE}
    with subprocess.Popen([*map(str, command)], stdin=subprocess.DEVNULL, **pipes) as running:
        program = Program(running, getattr(running, stream))
        try:
            yield program, program.line(ready)
        finally:
            program.end()


def _body(request):
    """Send a request and return the body of the answer."""
    try:
        with _OPENER.open(request, timeout=PATIENCE) as response:
            return response.read()
    except HTTPError as answer:
        answer.close()  # or its socket is left to the collector, of which Python 3.14 warns
        raise


def get(url):
    """Return the body of a page on loopback."""
    return _body(url)


def post(url, content):
    """Send JSON to an address on loopback and return the body of the answer."""
    request = urllib.request.Request(
        url, json.dumps(content).encode(), {"Content-Type": "application/json"}
    )
    return _body(request)


@dataclass
class Service:
    """A program that answers on loopback."""

    program: Program
    url: str

    def eventually(self, asked):
        """Ask again and again until the answer is neither None nor an error."""
        return self.program.eventually(asked)


@contextmanager
def _started(kind, *command):
    """Run a server on a port from the system; hand it out as a `kind` of Service once ready."""
    listening = r'msg="Listening on".* address=(127\.0\.0\.1:\d+)'
    with process(*command, "--web.listen-address=127.0.0.1:0", ready=listening) as (program, match):
        service = kind(program, f"http://{match[1]}")
        service.eventually(lambda: get(f"{service.url}/-/ready"))
        yield service


class Prometheus(Service):
    """A Prometheus that runs."""

    def api(self, path):
        """Return what its HTTP API answers."""
        return json.loads(get(f"{self.url}/api/v1/{path}"))["data"]

    def query(self, expression):
        """Return labels and value of each series of an instant query; None where there is none."""
        found = self.api(f"query?query={quote(expression)}")["result"]
        return [(series["metric"], float(series["value"][1])) for series in found] or None

    def own(self, name):
        """Return one of its metrics about itself."""
        return float(
            re.search(rf"^{name} (\S+)$", get(f"{self.url}/metrics").decode(), re.MULTILINE)[1]
        )


@contextmanager
def prometheus(folder, config, *flags):
    """Run a Prometheus with its configuration, given as text, and data in a folder;
    hand it out once it is ready.
    """
    (folder / "prometheus.yml").write_text(config)
    command = (
        tool("prometheus"),
        f"--config.file={folder}/prometheus.yml",
        f"--storage.tsdb.path={folder}/data",
        "--web.external-url=http://prometheus.example.com/",
        *flags,
    )
    with _started(Prometheus, *command) as running:
        yield running


@contextmanager
def victoria_metrics(folder, data):
    """Run VictoriaMetrics in a folder on a copy of a Prometheus's data; hand it out."""
    command = (
        tool("victoria-metrics", "VictoriaMetrics"),
        f"-storageDataPath={folder}/victoria",
        "-retentionPeriod=100y",
        "-search.latencyOffset=0s",
        "-httpListenAddr=127.0.0.1:0",
    )
    copy = tool("vmctl", "VictoriaMetrics"), "prometheus", "-s", "--disable-progress-bar"
    with process(*command, ready=r"started server at http://(127\.0\.0\.1:\d+)/") as (
        program,
        found,
    ):
        service = Service(program, f"http://{found[1]}")
        service.eventually(lambda: get(f"{service.url}/health"))
        places = f"--prom-snapshot={data}", f"--vm-addr={service.url}"
        temporary = f"--prom-tmp-dir-path={folder}"
        subprocess.run([*copy, *places, temporary], check=True, capture_output=True, timeout=150)
        get(f"{service.url}/internal/force_flush")
        yield service


class Alertmanager(Service):
    """An Alertmanager that runs."""

    def api(self, path):
        """Return what its HTTP API answers."""
        return json.loads(get(f"{self.url}/api/v2/{path}"))

    def send(self, *alerts):
        """Hand in alerts."""
        post(f"{self.url}/api/v2/alerts", alerts)


@contextmanager
def alertmanager(folder, config):
    """Run an Alertmanager on its own with a configuration file and data in a folder;
    hand it out once it is ready.
    """
    command = (
        tool("alertmanager"),
        f"--config.file={config}",
        f"--storage.path={folder}/alertmanager",
        "--cluster.listen-address=",
        "--web.external-url=http://alertmanager.example.com",
    )
    with ExitStack() as stack:
        try:
            running = stack.enter_context(_started(Alertmanager, *command))
        except AssertionError as ended:
            # Alertmanager's own release has its default templates in it;
            # Debian's build opens files of its package.
            if missing := re.search(r"open (/\S+/default\.tmpl): no such file", str(ended)):
                pytest.skip(
                    f"this build of Alertmanager needs {missing[1]}: install its whole package"
                )
            raise
        yield running
