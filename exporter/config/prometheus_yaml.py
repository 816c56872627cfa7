"""Reads YAML as the Prometheus project's programs do, with every problem at once.

There a scalar is its text, whatever YAML takes it for, and null is the empty text. Only the first document of a file
counts. What is unknown or given twice is an error.
"""

import base64
import re
from collections.abc import Iterator, Mapping, Set
from pathlib import Path

import yaml

from exporter.errors import ConfigError, Problem

_TAG = "tag:yaml.org,2002:"
_MERGE, _NULL, _TEXT, _BINARY = (f"{_TAG}{name}" for name in ("merge", "null", "str", "binary"))
_CHECKED = tuple(f"{_TAG}{name}" for name in ("bool", "float", "int", "null", "timestamp"))
_SURROGATE = re.compile("[\ud800-\udfff]")
_MOST_ENTRIES = 100_000  # of a mapping, merges and aliases multiply them
_DEEPEST_MERGE = 20


class PrometheusYaml:
    """One file and what is wrong with it; places are `file:line:column`, and no message shows a value."""

    def __init__(self, path: Path) -> None:
        """Read the file. Raises ConfigError where it cannot be read or is not YAML."""
        self.problems: list[Problem] = []
        self._name = str(path)
        self._resolver = yaml.resolver.Resolver()
        self.root = self._first_document(path)
        """The first document, or None where there is none."""

    def complain(self, node: yaml.Node | None, where: str, message: str) -> None:
        """Note what is wrong with a node, or with the whole file."""
        place = self._name if node is None else self._place(node.start_mark)
        self.problems.append(Problem(f"{place}: {where}" if where else place, message))

    def fields(
        self, node: yaml.Node | None, where: str, known: Set[str], unsupported: Set[str]
    ) -> dict[str, yaml.Node]:
        """Return the values of a section by key; keys that are `unsupported` belong to the format, but not here."""
        values: dict[str, yaml.Node] = {}
        for key, value, merged in self._entries(node, where):
            name = self.text(key, where)
            inner = f"{where}.{name}".lstrip(".")
            if name in unsupported:
                self.complain(key, inner, "this key is not supported by this exporter")
            elif name not in known:
                self.complain(key, inner, "unknown key")
            elif name in values and not merged:
                self.complain(key, inner, "duplicate key")
            values[name] = value
        return values

    def texts_by_key(self, node: yaml.Node | None, where: str) -> dict[str, tuple[str, yaml.Node]]:
        """Return the texts of a mapping by key, each with the node of its key."""
        values: dict[str, tuple[str, yaml.Node]] = {}
        for key, value, _ in self._entries(node, where):
            name = self.text(key, where)
            inner = f"{where}.{name}"
            if name in values:
                self.complain(key, inner, "duplicate key")
            values[name] = self.text(value, inner), key
        return values

    def texts(self, node: yaml.Node | None, where: str) -> tuple[str, ...] | None:
        """Return a list of texts, or None where there is no list."""
        if _is_null(node):
            return None
        if not isinstance(node, yaml.SequenceNode):
            self.complain(node, where, "expected a list")
            return None
        return tuple(self.text(item, f"{where}[{n}]") for n, item in enumerate(node.value))

    def text(self, node: yaml.Node | None, where: str) -> str:
        """Return a scalar's text; null and what is no scalar are the empty text."""
        if not isinstance(node, yaml.ScalarNode):
            if node is not None:
                self.complain(node, where, "expected text")
            return ""
        if node.tag == _BINARY:
            return self._decoded(node, where)
        if not self._fits(node):
            self.complain(node, where, "not a value of its YAML type")
            return ""
        return "" if node.tag == _NULL else str(node.value)

    def _decoded(self, node: yaml.ScalarNode, where: str) -> str:
        try:
            return base64.b64decode("".join(node.value.split()), validate=True).decode()
        except ValueError:
            self.complain(node, where, "not a value of its YAML type")
            return ""

    def _fits(self, node: yaml.ScalarNode) -> bool:
        """Whether a scalar is what its tag says, which somebody may have written before it."""
        if _SURROGATE.search(node.value):
            return False
        if node.tag not in _CHECKED:
            return True
        implied = self._resolver.resolve(yaml.ScalarNode, node.value, (True, False))  # type: ignore[no-untyped-call]
        return node.tag == implied or (node.tag, implied) == (f"{_TAG}float", f"{_TAG}int")

    def _entries(
        self, node: yaml.Node | None, where: str, depth: int = 0
    ) -> Iterator[tuple[yaml.Node, yaml.Node, bool]]:
        """Yield key, value and whether it was merged from elsewhere."""
        if _is_null(node):
            return
        if not isinstance(node, yaml.MappingNode):
            self.complain(node, where, "expected keys and values")
            return
        if depth > _DEEPEST_MERGE:
            raise ConfigError([Problem(self._name, "expected no merge of what it stands in")])
        count = 0
        for key, value in node.value:
            merge = key.tag == _MERGE
            inner = self._merged(value, where, depth) if merge else [(key, value)]
            for one, other in inner:
                count += 1
                if count > _MOST_ENTRIES:
                    raise ConfigError([Problem(self._name, "expected fewer values")])
                yield one, other, merge or depth > 0

    def _merged(
        self, node: yaml.Node, where: str, depth: int
    ) -> Iterator[tuple[yaml.Node, yaml.Node]]:
        sources = node.value if isinstance(node, yaml.SequenceNode) else [node]
        for source in sources:
            if not isinstance(source, yaml.MappingNode):
                self.complain(source, where, "expected keys and values to merge")
                continue
            for key, value, _ in self._entries(source, where, depth + 1):
                yield key, value

    def _first_document(self, path: Path) -> yaml.Node | None:
        try:
            text = path.read_text(encoding="utf-8-sig")
            loader = yaml.SafeLoader(text)
            return loader.get_node() if loader.check_node() else None
        except OSError as error:
            raise self._unusable(f"cannot be read: {error.strerror}") from None
        except UnicodeDecodeError:
            raise self._unusable("expected UTF-8 text") from None
        except RecursionError:
            raise self._unusable("expected a few levels") from None
        except (
            yaml.MarkedYAMLError
        ) as error:  # its text would quote the line, which may hold a secret
            mark = error.problem_mark
            what = re.split("['\"]", error.problem or "syntax error")[0].strip()
            raise self._unusable(f"not YAML: {what}", self._place(mark) if mark else "") from None
        except (yaml.YAMLError, ValueError):
            raise self._unusable("not YAML") from None

    def _unusable(self, message: str, place: str = "") -> ConfigError:
        return ConfigError([Problem(place or self._name, message)])

    def _place(self, mark: yaml.Mark) -> str:
        return f"{self._name}:{mark.line + 1}:{mark.column + 1}"


def _is_null(node: yaml.Node | None) -> bool:
    return node is None or node.tag == _NULL


def given(values: Mapping[str, yaml.Node], key: str) -> yaml.Node | None:
    """Return the value of a key that is neither left out nor null."""
    node = values.get(key)
    return None if _is_null(node) else node
