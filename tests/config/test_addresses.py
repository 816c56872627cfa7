"""Addresses of the API and of a proxy: the same verdict on every Python."""

import pytest

SIGN_IN = "login: {email: me@example.com, password: canary}"


@pytest.mark.parametrize(
    "url",
    [
        "https://backend.flashback.tech",
        "https://backend.flashback.tech/",
        "https://backend.flashback.tech:8443/v1",
        "https://[2001:db8::1]:8443",
        "https://10.0.0.1",
        "http://localhost:8080",
        "http://127.0.0.1:8080",
        "http://127.8.9.10",
        "http://[::1]:8080",
        "http://[::ffff:127.0.0.1]",
        "http://LOCALHOST",
        "HTTPS://Backend.Flashback.Tech",
        "https://backend.flashback.tech.",
        "https://flashback_backend:0443",
        "https://xn--bcher-kva.example",
        "https://b\xfccher.example/\xfc/a%20b",
        "https://[fe80::1%eth0]/v1",
        "https://[fe80::1%25]",  # the number of an interface
    ],
)
def test_the_api_is_reached_by_https_or_on_this_machine(url, load):
    """An https address is accepted anywhere, an http address on this machine."""
    assert load(f"api: {{{SIGN_IN}, base_url: '{url}'}}").api.base_url == url


@pytest.mark.parametrize(
    "url",
    [
        "",
        "backend.flashback.tech",
        "//backend.flashback.tech",
        "https://",
        "https:///path",
        "ftp://backend.flashback.tech",
        "file:///etc/passwd",
        "https://backend.flashback.tech:0",
        "https://backend.flashback.tech:99999",
        "http\u017f://backend.flashback.tech",
        "https://backend.flashback.tech:port",
        "https://backend.flashback.tech:",
        "https://backend.flashback.tech:8\u0663",
        "https://backend.flashback.tech:443:443",
        "https://-",
        "https://.backend",
        "https://$HOST",
        "https://{{ host }}",
        "https://a%41",
        "https://a,b",
        "https://256.1.1.1",
        "https://1.2.3",
        "https://[]",
        "https://[1.2.3.4]",
        "https://[v1.a]",
        "https://[::1]x",
        "https://[fe80::1%25eth0]",
        "https://[fe80::1%25eth0]:8443/v1",
        "https://::1",
        "https://" + "a" * 64,
        "https://" + "a." * 127,
        "https://backend.flashback.tech/" + "a" * 2000,
        "https://backend.flashback.tech/a b",
        "https://backend.flashback.tech\\v1",
        "https://backend.flashback.tech?",
        "https://backend.flashback.tech#",
        "https://@backend.flashback.tech",
        "http://[::ffff:192.168.0.1]",
        "https://[::1",
        "https://back end.flashback.tech",
        "https://backend..flashback.tech",
        "https://canary@backend.flashback.tech",
        "https://me:canary@backend.flashback.tech",
        "https://backend.flashback.tech?token=canary",
        "https://backend.flashback.tech#canary",
        "http://backend.flashback.tech",
        "http://localhost.example.com",
        "http://127.0.0.1.example.com",
        "http://192.168.0.1",
        "http://[2001:db8::1]",
        "HTTP://backend.flashback.tech",
    ],
)
def test_what_is_no_safe_address_is_refused(url, problems):
    """Anything else is refused: no host, another scheme, credentials or a query in it,
    http to another machine.
    """
    (problem,) = problems(f"api: {{{SIGN_IN}, base_url: '{url}'}}")
    assert "base_url: expected " in problem


CONTROLS = ["\\0", "\\t", "\\n", "\\r", "\\x7f", "\\x85", "\\xa0", "\\u2028"]


@pytest.mark.parametrize(
    "where", ["https://a{}", "https://{}a", "https://a/{}", "https://a/b{}c", "{}https://a"]
)
@pytest.mark.parametrize("character", CONTROLS)
def test_an_address_holds_no_control_characters_or_white_space(where, character, problems):
    """What some Pythons take out of an address without a word is refused by all of them."""
    (problem,) = problems(f'api: {{{SIGN_IN}, base_url: "{where.format(character)}"}}')
    assert problem == (
        f"exporter.yml:1:{6 + len(SIGN_IN) + 3}: api.base_url: expected https://host[:port][/path]"
    )


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://a:99999", "a port from 1 to 65535"),
        ("https://a..b", "the name of a host, an IPv4 address or [an IPv6 address]"),
        (
            "https://[fe80::1%25eth0]",
            "a plain % before the zone of an IPv6 address: [fe80::1%eth0]",
        ),
        ("https://a?b", "no user, password, query or fragment in it"),
        ("a", "https://host[:port][/path]"),
    ],
)
def test_the_part_of_an_address_that_is_wrong_is_named(url, expected, problems):
    """The message says which part of an address is at fault."""
    (problem,) = problems(f"api: {{{SIGN_IN}, base_url: '{url}'}}")
    assert problem.endswith(f"api.base_url: expected {expected}")


@pytest.mark.parametrize(
    "proxy",
    [
        "http://h",
        "https://h:3128/",
        "http://[::1]:3128",
        "http://me:ca%40nary@h",
        "http://me@h.",
        "http://:x@1.2.3.4",
    ],
)
def test_a_proxy_is_an_http_address(proxy, load):
    """A proxy is given as an http or https address, with user and password or without."""
    assert load(f"api: {{{SIGN_IN}, proxy_url: '{proxy}'}}").api.proxy_url is not None


@pytest.mark.parametrize(
    "proxy",
    ["socks5://h", "h:3128", "http://", "http://h/path", "http://h?x", "http://me:canary @h", "http://me:can[ary@h",
     "http://h:3128:3128"],
)  # fmt: skip
def test_what_is_no_address_of_a_proxy_is_refused(proxy, problems):
    """Anything else is refused, without showing it."""
    (problem,) = problems(f"api: {{{SIGN_IN}, proxy_url: '{proxy}'}}")
    assert "proxy_url: expected http://[user:password@]host[:port]" in problem


def test_no_address_is_longer_than_clients_take(problems):
    """An address of thousands of characters is refused, whichever it is."""
    long = "a" * 3000
    found = problems(
        f"api: {{{SIGN_IN}, base_url: 'https://a/{long}', proxy_url: 'http://{long}@a'}}"
    )
    assert [problem.partition(": ")[2] for problem in found] == [
        "api.base_url: expected at most 2000 characters",
        "api.proxy_url: expected at most 2000 characters",
    ]


@pytest.mark.parametrize("port", ["", "0", "65536", "port", "-1", "\u0663"])
def test_a_proxy_has_a_port_that_there_is(port, problems):
    """A port that no proxy can have is refused before anything is sent."""
    (problem,) = problems(f"api: {{{SIGN_IN}, proxy_url: 'http://me:canary@h:{port}'}}")
    assert "proxy_url: expected a port from 1 to 65535" in problem


@pytest.mark.parametrize("host", ["a..b", "[canary]", "[::1]x", "-", "999.1.1.1"])
def test_a_proxy_has_a_host_that_there_can_be(host, problems):
    """A host that no proxy can have is refused too."""
    (problem,) = problems(f"api: {{{SIGN_IN}, proxy_url: 'http://{host}'}}")
    assert "proxy_url: expected " in problem
