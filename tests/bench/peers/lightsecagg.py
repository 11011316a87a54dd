"""The masks of LightSecAgg with the functions of FedML: what a client encodes and a server decodes.

usage: lightsecagg.py CLIENTS COORDINATES ACTIVE PRIVATE

ACTIVE clients of all answer; PRIVATE may collude. The decoding costs the same whoever is lost. Only
the masks: no vectors, no keys, no messages. FedML's package wants torch and much more for other
things, so the module with these functions is loaded alone. Prints one line of JSON.
"""

import importlib.util
import json
import pathlib
import resource
import sys
import time
import types
from importlib import metadata

import numpy

PRIME = 2**15 - 19


def functions():
    file = "fedml/core/mpc/lightsecagg.py"
    path = next(path for path in metadata.files("fedml") if pathlib.PurePath(path) == pathlib.PurePath(file))
    sys.modules.setdefault("torch", types.ModuleType("torch"))
    spec = importlib.util.spec_from_file_location("lightsecagg", path.locate())
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run(clients, coordinates, active, private):
    fedml = functions()
    padded = -(-coordinates // (active - private)) * (active - private)
    generator = numpy.random.default_rng(1)
    masks = [generator.integers(0, PRIME, (padded, 1)) for _ in range(2)]
    encode_s, encoded = 0.0, None
    for mask in masks:
        began = time.process_time()
        parts = fedml.mask_encoding(padded, clients, active, private, PRIME, mask)
        encode_s += time.process_time() - began
        encoded = parts if encoded is None else (encoded + parts) % PRIME
    here = numpy.arange(clients - active, clients)
    began = time.process_time()
    found = fedml.LCC_decoding_with_points(
        encoded[here], here + 1, numpy.arange(active) + clients + 1, PRIME
    )
    decode_s = time.process_time() - began
    total = numpy.reshape(found, (-1, 1))[:padded]
    if not numpy.array_equal(total, sum(masks) % PRIME):
        sys.exit("lightsecagg: the sum of the masks is wrong")
    return {
        "peer": "lightsecagg",
        "clients": clients,
        "coordinates": coordinates,
        "dropped": clients - active,
        "cpu_s": None,
        "client_cpu_s": encode_s / len(masks),
        "server_cpu_s": decode_s,
        "upload_bytes": clients * encoded[0].nbytes // 4 + 2 * coordinates,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6,
        "error": 0,
    }


if __name__ == "__main__":
    print(json.dumps(run(*(int(argument) for argument in sys.argv[1:5]))))
