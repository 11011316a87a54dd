"""The product's sum, from `private_sum` over its standard input and output."""

import json
import struct
import subprocess

import numpy

SCALE = 128
DELTA = 1e-5


class PrivateSum:
    """A fleet whose sums are computed by the program."""

    def __init__(self, program, *, devices, coordinates, clip, honest, rounds, z, seed, rotated=False):
        self.coordinates = coordinates
        self.process = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        wanted = {
            "devices": devices,
            "coordinates": coordinates,
            "clip": clip,
            "scale": SCALE,
            "rotated": rotated,
            "ring_bits": 32,
            "z_permille": round(1000 * z) if z else None,
            "honest": honest,
            "rounds": rounds,
            "delta": DELTA,
            "seed": seed,
        }
        self.process.stdin.write(json.dumps(wanted).encode() + b"\n")
        self.process.stdin.flush()
        self.follows = json.loads(self.process.stdout.readline())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        if self.process.wait():
            raise RuntimeError("private_sum failed")

    def __call__(self, sent):
        self.process.stdin.write(struct.pack("<I", len(sent)))
        self.process.stdin.write(sent.astype("<f4").tobytes())
        self.process.stdin.flush()
        return numpy.frombuffer(self.process.stdout.read(8 * self.coordinates), "<f8")
