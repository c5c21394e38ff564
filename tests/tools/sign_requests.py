#!/usr/bin/python3
"""Requests signed by botocore (Debian's python3-botocore), for the tests of signatures.

    sign_requests.py > tests/unit/server_signatures.h

The flow test signs the same cases with other keys and times.
"""

import datetime
import hashlib
from urllib.parse import urlsplit

import botocore.auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

WHEN = datetime.datetime(2026, 11, 20, 21, 23, 40)
ACCESS_KEY = "AKIAIOSFODNN7EXAMPLE"
SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
TOKEN = "IQoJb3JpZ2luX2VjEJr//////////wEaCXVzLWVhc3QtMSJHMEUCIQ+/=="
REGION = "eu-central-1"
EMPTY = hashlib.sha256(b"").hexdigest()

LOCAL = "http://127.0.0.1:5466"
AWS = "https://kinesisvideo.eu-central-1.amazonaws.com"
CLI = [("Content-Type", "application/json"), ("User-Agent", "aws-cli/2.9.19 Python/3.11.2")]
BODY = b'{"StreamName": "door"}'
PUT_MEDIA = [
    ("user-agent", "AWS-SDK-KVS/1.6.4/1.6.4 GCC/12.2.0 Linux/6.1.0 x86_64"),
    ("x-amzn-stream-name", "door"),
    ("x-amzn-fragment-timecode-type", "ABSOLUTE"),
    ("x-amzn-producer-start-timestamp", "1637698685.7"),
    ("x-amzn-fragment-acknowledgment-required", "1"),
    ("transfer-encoding", "chunked"),
    ("connection", "keep-alive"),
]


def case(name, method="POST", url=LOCAL + "/describeStream", headers=(), body=None, **more):
    return {"name": name, "method": method, "url": url, "headers": list(headers), "body": body,
            "form": "header", "token": None, "streamed": False, **more}  # fmt: skip


# What is read as it is written, and what is odd about it.
CASES = [
    case("the aws cli", headers=CLI, body=BODY),
    case("no body, no headers", "GET", LOCAL + "/"),
    case("no path at all", "GET", LOCAL),
    case("a default port", url=AWS + "/describeStream", headers=CLI, body=BODY),
    case("an IPv6 host", url="http://[::1]:5466/describeStream", body=BODY),
    case("a large body", body=b"x" * 100000),
    # paths
    case("a relative path", "GET", LOCAL + "/example/.."),
    case("a path relative twice", "GET", LOCAL + "/example1/example2/../.."),
    case("above the root", "GET", LOCAL + "/../../describeStream"),
    case("a dot", "GET", LOCAL + "/./"),
    case("a dot in front", "GET", LOCAL + "/./example"),
    case("two slashes", "GET", LOCAL + "//"),
    case("slashes everywhere", "GET", LOCAL + "//example//b///"),
    case("a slash at the end", "GET", LOCAL + "/example/"),
    case("a dot at the end", "GET", LOCAL + "/example/."),
    case("an escaped space", "GET", LOCAL + "/live/front%20door/index.m3u8"),
    case("escaped UTF-8", "GET", LOCAL + "/%E1%88%B4"),
    case("an escaped slash", "GET", LOCAL + "/a%2Fb"),
    case("an ARN in the path", "GET", LOCAL + "/tags/arn%3Aaws%3Akinesisvideo%3Aeu%3A0%3Astream"),
    case("an ARN unescaped", "GET", LOCAL + "/tags/arn:aws:kinesisvideo:eu:0:stream"),
    case("all that stands for itself", "GET", LOCAL + "/-._~0123456789abcxyzABCXYZ"),
    case("what must be escaped", "GET", LOCAL + "/!$&'()*+,;=:@"),
    # queries
    case("a query", "GET", LOCAL + "/?Param1=value1"),
    case("order of names", "GET", LOCAL + "/?Param2=value2&Param1=value1"),
    case("order of cases", "GET", LOCAL + "/?b=1&B=2&a=3&A=4&_=5&~=6&-=7"),
    case("order of values", "GET", LOCAL + "/?a=2&a=1&a=10&a="),
    case("a name that begins another", "GET", LOCAL + "/?a-b=1&a=2&a.=3&aa=4"),
    case("no value", "GET", LOCAL + "/?session&b=&a"),
    case("the same twice", "GET", LOCAL + "/?a=1&a=1"),
    case("an escaped value", "GET", LOCAL + "/?start=2026-11-20T21%3A23%3A40Z&x=%20%2B%25"),
    case("UTF-8 in a query", "GET", LOCAL + "/?%E1%88%B4=bar&%C3%A4=%F0%9F%90%98"),
    case("a plus as it stands", "GET", LOCAL + "/?a=b+c"),
    case("lower case escapes", "GET", LOCAL + "/?a=%2f%c3%a4"),
    case("needless escapes", "GET", LOCAL + "/?a=%61%7E"),
    case("signs unescaped", "GET", LOCAL + "/?a=!'()*,;:@/?"),
    case("empty members", "GET", LOCAL + "/?&a=1&&b=2&"),
    case("a value with an equals sign", "GET", LOCAL + "/?token=ab=cd=="),
    case("a percent that escapes nothing", "GET", LOCAL + "/?a=100%&b=%zz"),
    case("parameters", "GET", LOCAL + "/x", params={"b c": "d/e", "a": "ä+~", "": "z"}),
    # headers
    case("a repeated header", headers=[("My-Header1", "value2"), ("My-Header1", "value2"),
                                       ("My-Header1", "value1")]),  # fmt: skip
    case("spaces around a value", headers=[("My-Header1", "  value1 "),
                                           ("My-Header2", ' "a   b   c" ')]),  # fmt: skip
    case("tabs in a value", headers=[("My-Header1", "a\t\tb \t c")]),
    case("an empty value", headers=[("My-Header1", ""), ("My-Header2", "  ")]),
    case("order of headers", headers=[("Zoo", "1"), ("apple", "2"), ("X-Amz-Zoo", "3")]),
    case("UTF-8 in a header", headers=[("My-Header1", "Tür")]),
    case("commas in a header", headers=[("My-Header1", "a,b,c"), ("My-Header1", " d , e")]),
    case("Date instead of X-Amz-Date", headers=[("Date", "x")]),
    # bodies
    case("its hash told", body=BODY,
         headers=[("X-Amz-Content-SHA256", hashlib.sha256(BODY).hexdigest())]),  # fmt: skip
    case("PutMedia as the C SDK signs it", url=LOCAL + "/putMedia", headers=PUT_MEDIA,
         form="producer", streamed=True),  # fmt: skip
    case("PutMedia with its token unsigned", url=LOCAL + "/putMedia", headers=PUT_MEDIA,
         form="producer", streamed=True, token=TOKEN),  # fmt: skip
    case("PutMedia with Host without port", url=LOCAL + "/putMedia",
         headers=[*PUT_MEDIA, ("host", "127.0.0.1")], form="producer", streamed=True),  # fmt: skip
    case("PutMedia unsigned", url=LOCAL + "/putMedia", streamed=True,
         headers=[*PUT_MEDIA[1:5], ("X-Amz-Content-SHA256", "UNSIGNED-PAYLOAD")]),  # fmt: skip
    case("PutMedia with the hash of nothing told", url=LOCAL + "/putMedia", streamed=True,
         headers=[*PUT_MEDIA[1:5], ("X-Amz-Content-SHA256", EMPTY)]),  # fmt: skip
    case("PutMedia unsigned without a word", url=LOCAL + "/putMedia", streamed=True,
         headers=PUT_MEDIA[1:5], form="unsigned"),  # fmt: skip
    # hosts
    case("signed without the port, sent with it", url="http://127.0.0.1/describeStream", body=BODY,
         sent_host="127.0.0.1:5466"),  # fmt: skip
    case("signed with the port, sent without it", body=BODY, sent_host="127.0.0.1", port=5466),
    # tokens
    case("a session token", headers=CLI, body=BODY, token=TOKEN),
    # presigned
    case("a presigned GET", "GET", LOCAL + "/live/door/index.m3u8", form="query", expires=300),
    case("presigned with members", "GET", LOCAL + "/a%20b?z=1&A=%2B&start=2026", form="query",
         expires=604800),  # fmt: skip
    case("presigned with a header", "GET", LOCAL + "/x", form="query", expires=1,
         headers=[("X-Amz-Meta", "a  b")]),  # fmt: skip
    case("presigned with a token", "GET", LOCAL + "/x?b=2", form="query", expires=60, token=TOKEN),
    case("a signalling socket", "GET",
         "http://127.0.0.1:5468/?X-Amz-ChannelARN=arn%3Aaws%3Akinesisvideo%3Aeu-central-1%3A0%3A"
         "channel%2Fdoor%2F1&X-Amz-ClientId=viewer", form="query", expires=299),  # fmt: skip
    case("a presigned POST", form="query", expires=10),
]


class Producer(botocore.auth.SigV4Auth):
    """As the C producer SDK: every header but a few, no hash of the body, the token not signed."""

    def headers_to_sign(self, request):
        headers = super().headers_to_sign(request)
        for name in request.headers:
            if name.lower() in botocore.auth.SIGNED_HEADERS_BLACKLIST:
                headers[name.lower()] = request.headers[name]
        for name in ("content-type", "content-length", "x-amz-security-token"):
            del headers[name]
        return headers

    def payload(self, request):
        return EMPTY


class Unsigned(botocore.auth.SigV4Auth):
    def payload(self, request):
        return "UNSIGNED-PAYLOAD"


SIGNERS = {
    "header": botocore.auth.SigV4Auth,
    "producer": Producer,
    "unsigned": Unsigned,
    "query": botocore.auth.SigV4QueryAuth,
}


def make_request(the, body):
    request = AWSRequest(method=the["method"], url=the["url"], data=body or b"",
                         params=the.get("params", {}))  # fmt: skip
    for name, value in the["headers"]:
        request.headers.add_header(name, value)
    return request


def sign(the, when=WHEN, access_key=ACCESS_KEY, secret=SECRET, region=REGION):
    """(the request as the tests read it, SHA-256 of botocore's canonical request)"""
    body = None if the["streamed"] else the["body"]
    request = make_request(the, body)
    more = [the["expires"]] if the["form"] == "query" else []
    credentials = Credentials(access_key, secret, the["token"])
    signer = SIGNERS[the["form"]](credentials, "kinesisvideo", region, *more)
    # The steps of its add_auth, at a time of ours.
    request.context["timestamp"] = when.strftime("%Y%m%dT%H%M%SZ")
    signer._modify_request_before_signing(request)
    canonical = signer.canonical_request(request)
    signature = signer.signature(signer.string_to_sign(request, canonical), request)
    signer._inject_signature_to_request(request, signature)
    return as_text(the, request, body), hashlib.sha256(canonical.encode()).hexdigest()


def target_of(request):
    url = urlsplit(request.prepare().url)
    return (url.path or "/") + ("?" + url.query if url.query else "")


def as_text(the, request, body):
    lines = []
    if the.get("port"):
        lines.append(f"@port {the['port']}")
    if the["streamed"]:
        lines.append("@body streamed")
    elif body:
        lines.append(f"@body {hashlib.sha256(body).hexdigest()}")
    lines.append(f"{request.method} {target_of(request)}")
    if "host" not in request.headers:
        host = the.get("sent_host") or botocore.auth._host_from_url(request.url)
        lines.append(f"Host: {host}")
    lines += [f"{name}: {value}" for name, value in request.headers.items()]
    return "\n".join(lines) + "\n"


# ---- the table ----


def c_string(text):
    out = ""
    for byte in text.encode():
        character = chr(byte)
        if character in '"\\?':
            out += "\\" + character
        elif 0x20 <= byte < 0x7F:
            out += character
        else:
            out += f"\\{byte:03o}"
    return '"' + out + '"'


def main():
    print("/* Made by tests/tools/sign_requests.py: requests signed by botocore. */")
    print("#ifndef TESTS_UNIT_SERVER_SIGNATURES_H\n#define TESTS_UNIT_SERVER_SIGNATURES_H\n")
    print("#include <stdint.h>\n")
    when_s = int(WHEN.replace(tzinfo=datetime.timezone.utc).timestamp())
    print(f"#define SIGNED_AT_S INT64_C({when_s})")
    for name in ("ACCESS_KEY", "SECRET", "TOKEN", "REGION"):
        print(f"#define SIGNED_{name} {c_string(globals()[name])}")
    print("\n/* clang-format off */")
    print("static const struct {")
    print("    const char *name;")
    print("    const char *text;          /* as tests/support/signed_request.h reads it */")
    print("    const char *canonical_hex; /* SHA-256 of botocore's canonical request */")
    print("    int has_token;")
    print("} signed_requests[] = {")
    for the in CASES:
        text, canonical = sign(the)
        print(f"    {{{c_string(the['name'])},")
        lines = text.splitlines(keepends=True)
        for line in lines:
            quoted = c_string(line[:-1])[:-1] + '\\n"'
            print(f"     {quoted}{',' if line is lines[-1] else ''}")
        print(f"     \"{canonical}\", {1 if the['token'] else 0}}},")
    print("};\n/* clang-format on */\n\n#endif")


if __name__ == "__main__":
    main()
