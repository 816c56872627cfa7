"""Reads PromQL with Prometheus's own parser: what a query selects, and its result's labels."""

from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote

Node = dict[str, Any]
LabelsOf = Callable[[str], frozenset[str]]
"""The labels that a metric of that name can have. Raises KeyError where there is no such metric."""

_SETS = ("and", "or", "unless")
_SAME_SERIES = ("topk", "bottomk", "limitk", "limit_ratio")


def parse(prometheus, expression: str) -> Node:
    """Return the syntax tree of an expression, without parentheses."""
    return _plain(prometheus.api(f"parse_query?query={quote(expression)}"))


def _plain(node: Any) -> Any:
    if isinstance(node, list):
        return [_plain(item) for item in node]
    if not isinstance(node, dict):
        return node
    while node.get("type") == "parenExpr":
        node = node["expr"]
    return {
        name: _plain(value) if name in ("expr", "lhs", "rhs", "args", "param") else value
        for name, value in node.items()
    }


def walk(node: Node, above: tuple[Node, ...] = ()) -> Iterator[tuple[Node, tuple[Node, ...]]]:
    """Yield every node of a tree with those that it stands in, the outermost first."""
    yield node, above
    for child in (
        node.get("param"),
        node.get("lhs"),
        node.get("rhs"),
        node.get("expr"),
        *node.get("args", ()),
    ):
        if child:
            yield from walk(child, (*above, node))


def selectors(node: Node) -> Iterator[tuple[Node, tuple[Node, ...]]]:
    """Yield the selectors of a tree with the nodes that they stand in."""
    for found, above in walk(node):
        if found["type"] in ("vectorSelector", "matrixSelector"):
            yield found, above


def metrics(node: Node) -> set[str]:
    """Return the names of the metrics that a tree selects."""
    return {selector["name"] for selector, _ in selectors(node)}


def matchers(selector: Node) -> dict[str, tuple[str, str]]:
    """Return operator and value of the matchers of a selector, by label."""
    return {
        matcher["name"]: (matcher["type"], matcher["value"]) for matcher in selector["matchers"]
    }


def drops(aggregation: Node, label: str) -> bool:
    """Whether an aggregation leaves out a label."""
    if aggregation["op"] in _SAME_SERIES:
        return False
    return (label in aggregation["grouping"]) == aggregation["without"]


def labels(node: Node, labels_of: LabelsOf) -> frozenset[str]:
    """Return the labels that the result of an expression can have."""
    kind = node["type"]
    if kind in ("vectorSelector", "matrixSelector"):
        return labels_of(node["name"])
    if kind in ("numberLiteral", "stringLiteral"):
        return frozenset()
    if kind == "binaryExpr":
        return _of_pair(node, labels(node["lhs"], labels_of), labels(node["rhs"], labels_of))
    if kind == "aggregation":
        inner = labels(node["expr"], labels_of)
        if node["op"] in _SAME_SERIES:
            return inner
        grouping = frozenset(node["grouping"])
        added = {node["param"]["val"]} if node["op"] == "count_values" else set()
        return (inner - grouping if node["without"] else inner & grouping) | added
    if kind == "call":
        return _of_call(node, labels_of)
    return labels(node["expr"], labels_of)  # subquery, unary


def _of_call(node: Node, labels_of: LabelsOf) -> frozenset[str]:
    name, args = node["func"]["name"], node["args"]
    if name.startswith("absent"):
        found = [matchers(selector) for argument in args for selector, _ in selectors(argument)]
        return frozenset(
            label for one in found for label, (kind, _) in one.items() if kind == "="
        ) - {"__name__"}
    inner = (
        frozenset().union(*(labels(argument, labels_of) for argument in args))
        if args
        else frozenset()
    )
    if name in ("label_replace", "label_join"):
        return inner | {args[1]["val"]}
    if name == "histogram_quantile":
        return inner - {"le"}
    return frozenset() if name in ("scalar", "vector") else inner


def _of_pair(node: Node, left: frozenset[str], right: frozenset[str]) -> frozenset[str]:
    matching = node["matching"] or {"card": "", "on": False, "labels": [], "include": []}
    named, more = frozenset(matching["labels"]), frozenset(matching["include"])
    if node["op"] in _SETS:
        return left | right if node["op"] == "or" else left
    if matching["card"] == "many-to-one":
        return left | more
    if matching["card"] == "one-to-many":
        return right | more
    if matching["on"]:
        return named & (left | right)
    return (left | right) - named


def unknown_labels(
    tree: Node, labels_of: LabelsOf, harmless: frozenset[str] = frozenset()
) -> Iterator[str]:
    """Say which named labels do not exist; `harmless` ones may be dropped."""
    for node, _ in walk(tree):
        if node["type"] in ("vectorSelector", "matrixSelector"):
            for label in matchers(node).keys() - labels_of(node["name"]) - {"__name__"}:
                yield f"{node['name']} has no label {label}"
        elif node["type"] == "aggregation":
            inner = labels(node["expr"], labels_of)
            for label in (
                set(node["grouping"]) - inner - (harmless if node["without"] else frozenset())
            ):
                yield f"{node['op']}: nothing in it has a label {label}"
        elif node["type"] == "binaryExpr" and node["matching"]:
            left, right = labels(node["lhs"], labels_of), labels(node["rhs"], labels_of)
            matching = node["matching"]
            both = left & right if left and right else left | right
            known = both if matching["on"] else left | right | harmless
            for label in set(matching["labels"]) - known:
                yield f"{node['op']}: not both sides have a label {label}"
            for label in set(matching["include"]) - (
                right if matching["card"] == "many-to-one" else left
            ):
                yield f"{node['op']}: the one side has no label {label}"
