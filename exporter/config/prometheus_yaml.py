"""Reads YAML as the Prometheus project's programs do, with every problem at once.

There a scalar is its text, whatever YAML takes it for, and null is the empty text. Only the first
document of a file counts. What is unknown or given twice is an error.
"""

import base64
import re
from collections.abc import Callable, Iterator, Set
from pathlib import Path
from typing import TypeVar

import yaml

from exporter.config.places import place_of
from exporter.errors import ConfigError, Problem

_TAG = "tag:yaml.org,2002:"
_MERGE, _NULL, _BINARY = (f"{_TAG}{name}" for name in ("merge", "null", "binary"))
_FLOAT, _INT = (f"{_TAG}{name}" for name in ("float", "int"))
_CHECKED = (_FLOAT, _INT, _NULL, f"{_TAG}bool", f"{_TAG}timestamp")
_MOST_ENTRIES = 100_000  # of a file: merges and aliases multiply them
_DEEPEST_MERGE = 20

_T = TypeVar("_T")

Entry = tuple[yaml.Node, yaml.Node, bool]
"""A key, its value and whether both were merged from elsewhere."""


class PrometheusYaml:
    """One file and what is wrong with it.

    Places are `file:line:column`, and no message shows a value.
    """

    def __init__(self, path: Path) -> None:
        """Read the file. Raises ConfigError where it cannot be read or is not YAML."""
        self.problems: list[Problem] = []
        self._name = str(path)
        self._entries = 0
        self._resolver = yaml.resolver.Resolver()
        self._root = self._first_document(path)

    def section(self, known: Set[str], unsupported: Set[str]) -> "YamlSection":
        """Return the keys of the file itself."""
        return YamlSection(self, self._root, "", known, unsupported)

    def add_problem(self, node: yaml.Node | None, where: str, message: str) -> None:
        """Note what is wrong with a node, or with the whole file."""
        place = place_of(self._name, node.start_mark) if node else self._name
        self.problems.append(Problem(f"{place}: {where}" if where else place, message))

    def text(self, node: yaml.Node | None, where: str) -> str:
        """Return a scalar's text; null and what is no scalar are the empty text."""
        if node is None:
            return ""
        if not isinstance(node, yaml.ScalarNode):
            self.add_problem(node, where, "expected text")
            return ""
        try:
            return self._text_of(node)
        except ValueError:
            self.add_problem(node, where, "not a value of its YAML type")
            return ""

    def entries(self, node: yaml.Node | None, where: str, depth: int = 0) -> Iterator[Entry]:
        """Yield the entries of a mapping, with those that are merged into it."""
        if _is_null(node):
            return
        if not isinstance(node, yaml.MappingNode):
            self.add_problem(node, where, "expected keys and values")
            return
        if depth > _DEEPEST_MERGE:
            raise self._unusable("expected no merge of what it stands in")
        for key, value in node.value:
            self._entries += 1
            if self._entries > _MOST_ENTRIES:
                raise self._unusable("expected fewer values")
            if key.tag == _MERGE:
                yield from self._merged(value, where, depth + 1)
            else:
                yield key, value, depth > 0

    def _merged(self, node: yaml.Node, where: str, depth: int) -> Iterator[Entry]:
        sources = node.value if isinstance(node, yaml.SequenceNode) else [node]
        for source in sources:
            if isinstance(source, yaml.MappingNode):
                yield from self.entries(source, where, depth)
            else:
                self.add_problem(source, where, "expected keys and values to merge")

    def _text_of(self, node: yaml.ScalarNode) -> str:
        """Return what a scalar says.

        Raises ValueError where it is not what its tag says, which somebody may have written.
        """
        text = str(node.value)
        if node.tag == _BINARY:
            return base64.b64decode("".join(text.split()), validate=True).decode()
        text.encode()  # which lone surrogates do not survive
        if node.tag in _CHECKED:
            implied = self._resolver.resolve(yaml.ScalarNode, text, (True, False))  # type: ignore[no-untyped-call]
            if implied != node.tag and (implied, node.tag) != (_INT, _FLOAT):
                raise ValueError
        return "" if node.tag == _NULL else text

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
        except yaml.MarkedYAMLError as error:
            # The whole message would quote the line, which may hold a secret.
            what = re.split("['\"]", error.problem or "syntax error")[0].strip()
            raise self._unusable(f"not YAML: {what}", error.problem_mark) from None
        except (yaml.YAMLError, ValueError):
            raise self._unusable("not YAML") from None

    def _unusable(self, message: str, mark: yaml.Mark | None = None) -> ConfigError:
        place = place_of(self._name, mark) if mark else self._name
        return ConfigError([Problem(place, message)])


class YamlSection:
    """The keys of one mapping, by the names that a program knows.

    Keys that are `unsupported` belong to the format, but not here. What is wrong is added to the
    problems of the file.
    """

    def __init__(
        self,
        file: PrometheusYaml,
        node: yaml.Node | None,
        name: str,
        known: Set[str],
        unsupported: Set[str],
    ) -> None:
        self.name = name
        self._file = file
        self._node = node
        self._values: dict[str, yaml.Node] = {}
        for key, value, merged in file.entries(node, name):
            text = file.text(key, name)
            fault = ""
            if text in unsupported:
                fault = "this key is not supported by this exporter"
            elif text not in known:
                fault = "unknown key"
            elif text in self._values and not merged:
                fault = "duplicate key"
            if fault:
                _, where = self._at(text)
                file.add_problem(key, where, fault)
            self._values[text] = value

    @property
    def is_empty(self) -> bool:
        """Whether it has no keys at all."""
        return not self._values

    def has(self, key: str) -> bool:
        """Whether a key is neither left out nor null."""
        return not _is_null(self._values.get(key))

    def section(self, name: str, known: Set[str], unsupported: Set[str]) -> "YamlSection":
        """Return a section of the file itself."""
        node, _ = self._at(name)
        return YamlSection(self._file, node, name, known, unsupported)

    def text(self, key: str) -> str:
        """Return the text of a key, the empty one where there is none."""
        return self._file.text(*self._at(key))

    def texts(self, key: str) -> tuple[str, ...] | None:
        """Return the list of texts of a key, or None where there is no list."""
        node, where = self._at(key)
        if _is_null(node):
            return None
        if not isinstance(node, yaml.SequenceNode):
            self._file.add_problem(node, where, "expected a list")
            return None
        items = enumerate(node.value)
        return tuple(self._file.text(item, f"{where}[{number}]") for number, item in items)

    def each(self, key: str, convert: Callable[[str, str], _T]) -> dict[str, _T]:
        """Return what `convert` makes of each name and text in a mapping.

        Its ValueError says what was expected.
        """
        mapping, where = self._at(key)
        texts: dict[str, tuple[str, yaml.Node]] = {}
        for node, value, _ in self._file.entries(mapping, where):
            name = self._file.text(node, where)
            if name in texts:
                self._file.add_problem(node, f"{where}.{name}", "duplicate key")
            texts[name] = self._file.text(value, f"{where}.{name}"), node
        converted = {}
        for name, (text, node) in texts.items():
            try:
                converted[name] = convert(name, text)
            except ValueError as error:
                self._file.add_problem(node, f"{where}.{name}", str(error))
        return converted

    def add_problem(self, key: str, message: str) -> None:
        """Note what is wrong with a key, or that it is missing."""
        node, where = self._at(key)
        self._file.add_problem(node or self._node, where, message)

    def _at(self, key: str) -> tuple[yaml.Node | None, str]:
        """Return the value of a key, and the key as it is called within the file."""
        return self._values.get(key), f"{self.name}.{key}".lstrip(".")


def _is_null(node: yaml.Node | None) -> bool:
    return node is None or node.tag == _NULL
