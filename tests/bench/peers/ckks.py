"""A sum under CKKS with TenSEAL, as homomorphic averaging uses it: one client, one key.

usage: ckks.py CLIENTS COORDINATES

Each client encrypts and serialises; the server reads and adds; who holds the key decrypts. CKKS has
no dropout to survive and hides nothing from whoever holds the key. Prints one line of JSON.
"""

import json
import resource
import sys
import time

import numpy
import tenseal

SLOTS = 4096
# What CKKS of this precision may be off by, of values in [-1, 1], for each client.
ERROR = 1e-5


def run(clients, coordinates):
    context = tenseal.context(tenseal.SCHEME_TYPE.CKKS, 8192, -1, [60, 40, 40, 60])
    context.global_scale = 2**40
    generator = numpy.random.default_rng(1)
    expected = numpy.zeros(coordinates)
    total, client_s, server_s, uploaded = None, 0.0, 0.0, 0
    for _ in range(clients):
        vector = generator.uniform(-1, 1, coordinates)
        expected += vector
        began = time.process_time()
        parts = [
            tenseal.ckks_vector(context, vector[start : start + SLOTS]).serialize()
            for start in range(0, coordinates, SLOTS)
        ]
        client_s += time.process_time() - began
        uploaded = max(uploaded, sum(len(part) for part in parts))
        began = time.process_time()
        read = [tenseal.ckks_vector_from(context, part) for part in parts]
        total = read if total is None else [a + b for a, b in zip(total, read, strict=True)]
        server_s += time.process_time() - began
    began = time.process_time()
    found = numpy.concatenate([part.decrypt() for part in total])
    decrypt_s = time.process_time() - began
    error = float(numpy.abs(found - expected).max())
    if error > ERROR * clients:
        sys.exit(f"ckks: the sum is off by {error}")
    return {
        "peer": "tenseal",
        "clients": clients,
        "coordinates": coordinates,
        "dropped": 0,
        "cpu_s": client_s + server_s + decrypt_s,
        "client_cpu_s": client_s / clients,
        "server_cpu_s": server_s + decrypt_s,
        "upload_bytes": uploaded,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6,
        "error": error,
    }


if __name__ == "__main__":
    print(json.dumps(run(*(int(argument) for argument in sys.argv[1:3]))))
