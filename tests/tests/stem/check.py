"""Reads descriptors by stem, with validation, and compares them with what is expected of them.

Usage: check.py DIRECTORY, with `cases.json` and the descriptors that it names in it.
"""

import base64
import json
import pathlib
import sys

from stem.descriptor.hidden_service import HiddenServiceDescriptorV2


def der(pem):
    return base64.b64encode(base64.b64decode("".join(pem.split("\n")[1:-1]))).decode()


def point(found):
    return {
        "relay": found.identifier,
        "address": found.address,
        "port": found.port,
        "onion_key": der(found.onion_key),
        "service_key": der(found.service_key),
    }


def check(directory, case):
    raw = (directory / case["file"]).read_bytes()
    # Validation is of the form, the order, the signature.
    descriptor = HiddenServiceDescriptorV2(raw, validate=True)
    found = {
        "id": descriptor.descriptor_id,
        "secret_id_part": descriptor.secret_id_part,
        "published": str(descriptor.published),
        "key": der(descriptor.permanent_key),
    }
    for name, value in found.items():
        assert value == case[name], (case["file"], name, value, case[name])
    assert descriptor.version == 2 and descriptor.protocol_versions == [2, 3], case["file"]
    cookies = case["cookies"] or [None]
    for cookie in cookies:
        points = [point(found) for found in descriptor.introduction_points(cookie)]
        assert points == case["points"], (case["file"], points, case["points"])


def check_refused(directory, case):
    raw = (directory / case["file"]).read_bytes().replace(b"protocol-versions 2,3", b"protocol-versions 3,2")
    try:
        HiddenServiceDescriptorV2(raw, validate=True)
    except ValueError:
        return
    raise AssertionError("stem verifies no signatures here")


directory = pathlib.Path(sys.argv[1])
cases = json.loads((directory / "cases.json").read_text())
for case in cases:
    check(directory, case)
check_refused(directory, cases[0])
print(f"{len(cases)} descriptors agree")
