#!/usr/bin/env python3
"""A second reader of the protocol, written from docs/protocol.md alone.

Replays the round of protocol/tests/vectors/round.json (or of the file named) from its messages and
its devices' channel secrets: every hash, signature, commitment, share, mask and the sum.
Prints each check; the first that fails is named and ends it with exit code 1.
"""
import hashlib
import hmac
import json
import struct
import sys
from pathlib import Path

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

VECTORS = Path(__file__).resolve().parent.parent / "protocol" / "tests" / "vectors"
ORDER = 2**252 + 27742317777372353535851937790883648493  # of the ristretto255 group
CHUNK_STREAM, CANARY = 65536, 8


class Mismatch(Exception):
    """A check that does not hold."""


def check(holds, name):
    if not holds:
        raise Mismatch(name)


# --- Encoding ---------------------------------------------------------------------------------

class Reader:
    def __init__(self, data, name):
        self.data, self.at, self.name = data, 0, name

    def raw(self, count):
        check(self.at + count <= len(self.data), f"encoding of {self.name}: cut short")
        self.at += count
        return self.data[self.at - count:self.at]

    def number(self, form):
        return struct.unpack("<" + form, self.raw(struct.calcsize("<" + form)))[0]

    def bytes(self, most):
        length = self.number("I")
        check(length <= most, f"encoding of {self.name}: a length above its bound")
        return self.raw(length)

    def list(self, most, item):
        count = self.number("I")
        check(count <= most, f"encoding of {self.name}: a list above its bound")
        return [item(self) for _ in range(count)]

    def indexed(self, most, item):
        """A list of an index and more, strictly increasing, as a dictionary."""
        pairs = self.list(most, lambda r: (r.number("H"), item(r)))
        order = [index for index, _ in pairs]
        check(order == sorted(set(order)), f"encoding of {self.name}: indices do not increase")
        return dict(pairs)

    def bitmap(self, expected):
        start, places = self.at, self.number("H")
        check(places == expected, f"encoding of {self.name}: places of a bitmap")
        bits = int.from_bytes(self.raw((places + 7) // 8), "little")
        check(bits >> places == 0, f"encoding of {self.name}: padding bits")
        return {i for i in range(places) if bits >> i & 1}, self.data[start:self.at]


def message(text, kind, name, body):
    reader = Reader(bytes.fromhex(text), name)
    check(reader.raw(2) == bytes([1, kind]), f"encoding of {name}: version and kind")
    value = body(reader)
    check(reader.at == len(reader.data), f"encoding of {name}: bytes left over")
    return value


TASK = dict(version="I", coordinates="I", ring_bits="B", clip="d", scale="Q", weights="I", mechanism="B",
            z="I", delta="d", start_when="I", min_contributors="I", max_devices="I", corrupt_share="I",
            dropout_share="I", suite="B", rotation="B", model="B", max_rounds="Q", min_interval="Q",
            not_before="Q", not_after="Q", advertise="I", share="I", mask="I", check="I", unmask="I")
ENTRY = ("id", "M", "E", "V", "S", "certificate")


def read_round(r):
    start = r.at
    task = {"name": r.bytes(63)} | {field: r.number(form) for field, form in TASK.items()}
    encoded = r.data[start:r.at]
    owner, signature, number = r.raw(32), r.raw(64), r.number("Q")
    r.raw(32)  # nonce
    check(r.number("B") == 0, "encoding of Announcement: a grant, which this round has not")
    return task, encoded, owner, signature, number, r.data[start:r.at]


def read_entry(r):
    raw = r.raw(192)
    fields = {name: raw[32 * i:32 * i + 32] for i, name in enumerate(ENTRY)}
    return fields | {"raw": raw, "shown": r.bytes(8192), "signature": r.bytes(128)}


def read_share(r):
    raw = r.raw(176)
    return {"raw": raw, "a": raw[:32], "b": raw[32:64], "sealed": raw[64:]}


# --- What is hashed, signed and derived -------------------------------------------------------

def L(label, *parts):
    label = b"sealsum/v1/" + label.encode()
    return bytes([len(label)]) + label + b"".join(parts)


def H(label, *parts):
    return hashlib.sha256(L(label, *parts)).digest()


def u16(*numbers):
    return struct.pack(f"<{len(numbers)}H", *numbers)


def top(leaves):
    if len(leaves) < 2:
        return leaves[0] if leaves else H("tree-node")
    left = 1 << (len(leaves) - 1).bit_length() - 1
    return H("tree-node", top(leaves[:left]), top(leaves[left:]))


def root(leaves):
    return H("tree-root", struct.pack("<Q", len(leaves)), top(leaves))


def path(leaves, place):
    if len(leaves) < 2:
        return []
    left = 1 << (len(leaves) - 1).bit_length() - 1
    if place < left:
        return path(leaves[:left], place) + [top(leaves[left:])]
    return path(leaves[left:], place - left) + [top(leaves[:left])]


def extract(salt, secret):
    return hmac.digest(salt, secret, "sha256")


def expand(prk, info):
    return hmac.digest(prk, info + b"\x01", "sha256")


def hkdf(secret, info):
    return expand(extract(bytes(32), secret), info)


def signed(key, signature, data, name):
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, data)
    except (InvalidSignature, ValueError):  # ValueError: no key at all
        raise Mismatch(name) from None


def public(secret):
    return X25519PrivateKey.from_private_bytes(secret).public_key().public_bytes_raw()


def agree(secret, key):
    try:
        return X25519PrivateKey.from_private_bytes(secret).exchange(X25519PublicKey.from_public_bytes(key))
    except ValueError:
        raise Mismatch("an agreement that gives zero") from None


def rebuild(shares, t, name):
    """The secret at 0 of the polynomial of degree t - 1 through the shares {point: value}."""
    check(len(shares) >= t, f"{name}: {len(shares)} shares where {t} are needed")
    values = {x: int.from_bytes(share, "little") for x, share in shares.items()}
    check(all(value < ORDER for value in values.values()), f"{name}: a share that is not canonical")

    def at(x, points):
        total = 0
        for i in points:
            above = below = 1
            for j in points:
                if j != i:
                    above, below = above * (x - j) % ORDER, below * (i - j) % ORDER
            total += values[i] * above * pow(below, -1, ORDER)
        return total % ORDER

    first = sorted(values)[:t]
    check(all(at(x, first) == values[x] for x in values), f"{name}: shares on no one polynomial")
    return at(0, first).to_bytes(32, "little")


# --- Chunks -----------------------------------------------------------------------------------

class Layout:
    def __init__(self, coordinates, bits):
        self.coordinates, self.bits = coordinates, bits
        self.width, self.fields = (16, 4) if bits <= 16 else (21, 3) if bits <= 21 else (bits, 1)
        self.lane = 32 if 22 <= bits <= 32 else 64
        self.wire = 64 if self.fields > 1 else bits
        self.full = (CHUNK_STREAM - 2 * CANARY) * 8 // self.lane * self.fields
        self.chunks = -(-coordinates // self.full)

    def lanes(self, chunk):
        return -(-min(self.full, self.coordinates - chunk * self.full) // self.fields)

    def words(self, chunk, data, name):
        """The first canary, the lanes and the last canary."""
        lanes = self.lanes(chunk)
        check(len(data) == 2 * CANARY + -(-lanes * self.wire // 8), f"{name}: length")
        body = int.from_bytes(data[CANARY:-CANARY], "little")
        check(body >> lanes * self.wire == 0, f"{name}: padding bits")
        ends = [int.from_bytes(end, "little") for end in (data[:CANARY], data[-CANARY:])]
        return [ends[0], *(body >> i * self.wire & (1 << self.wire) - 1 for i in range(lanes)), ends[1]]

    def mask(self, seed, chunk):
        """The ChaCha20 stream of a chunk, word by word."""
        size = self.lane // 8
        length = 2 * CANARY + self.lanes(chunk) * size
        nonce = struct.pack("<QQ", chunk * CHUNK_STREAM // 64, 0)
        stream = Cipher(algorithms.ChaCha20(seed, nonce), mode=None).encryptor().update(bytes(length))
        cuts = [0, *range(CANARY, length - CANARY, size), length - CANARY, length]
        return [int.from_bytes(stream[a:b], "little") for a, b in zip(cuts, cuts[1:])]

    def add(self, words, mask, sign):
        bits = [64, *[self.wire] * (len(words) - 2), 64]
        return [(word + sign * value) % (1 << b) for word, value, b in zip(words, mask, bits)]

    def values(self, chunk, words, contributors, name):
        check(words[0] == words[-1] == contributors, f"{name}: canaries")
        values = []
        for word in words[1:-1]:
            rest = self.wire
            for field in range(self.fields):
                bits = rest if field + 1 == self.fields else self.width
                value = word & (1 << bits) - 1
                value -= value >> bits - 1 << bits
                values.append(value)
                word, rest = (word - value) % (1 << rest) >> self.width, rest - self.width
        return values[:min(self.full, self.coordinates - chunk * self.full)]


# --- The round --------------------------------------------------------------------------------

def replay(published, say):
    task, encoded, owner, owner_signature, number, round_bytes = message(
        published["announcement"], 10, "Announcement", lambda r: r.list(64, read_round))[0]
    task_hash, h_p = H("task", encoded), H("parameters", round_bytes)
    check(task_hash.hex() == published["task_hash"], "task hash")
    signed(owner, owner_signature, L("task", encoded), "owner's signature")
    check(h_p.hex() == published["params_hash"], "hash of the round's parameters")
    check(H("round", task_hash, struct.pack("<Q", number)).hex() == published["round_id"], "round id")
    say("task: hash, owner's signature, parameters, round id")

    roster = message(published["roster"], 12, "Roster",
                     lambda r: (r.list(10000, read_entry), r.bytes(2**20)))[0]
    n = len(roster)
    check(all(a["id"] < b["id"] for a, b in zip(roster, roster[1:])), "order of the roster")
    rho = root([H("roster-leaf", entry["raw"]) for entry in roster])
    check(rho.hex() == published["roster_root"], "roster root")
    head = h_p + rho
    seed = H("graph", head)
    check(seed.hex() == published["graph_seed"], "graph seed")
    ring = sorted(range(n), key=lambda i: hashlib.sha256(seed + roster[i]["id"]).digest())
    k, half = n - 1, -(-(n - 1) // 2)  # a complete graph, as up to 100 devices have
    check(n <= 100, "a complete graph")
    c = min(n, max(1, -(-task["corrupt_share"] * n // 1000)))
    t, quorum = (k + c) // 2 + 1, (n + c) // 2 + 1

    def point(dealer, holder):
        distance = (ring.index(holder) - ring.index(dealer)) % n
        return distance if distance <= half else k + 1 - (n - distance)

    points = [[None if i == j else point(i, j) for j in range(n)] for i in range(n)]
    check(points == published["share_points"], "points of the shares")
    for entry in roster:
        shown = entry["shown"]  # of this round: id, S, and an Ed25519 key in place of the TPM's
        check(hashlib.sha256(shown).digest() == entry["certificate"], "hash of a certificate")
        check(shown[:64] == entry["id"] + entry["S"], "names in a certificate")
        signed(shown[64:], entry["signature"], L("advertise", h_p, entry["raw"]), "signature on an entry")
    say(f"roster: order, root, entries, ring and points of {n} devices, t = {t}, Q = {quorum}")

    deals = []
    for i, text in enumerate(published["shares"]):
        b, shares, signature = message(text, 13, "SharedKeys", lambda r: (
            r.raw(32), r.list(10000, read_share), r.raw(64)))
        holders = [j for j in range(n) if j != i]
        check(len(shares) == len(holders), "number of a dealer's shares")
        leaves = [H("deal-leaf", u16(j), share["raw"]) for j, share in zip(holders, shares)]
        signed(roster[i]["V"], signature, L("deal", head, u16(i), b, root(leaves)), "dealer's signature")
        deals.append({"b": b, "shares": dict(zip(holders, shares)), "leaves": leaves, "by": signature})

    def read_dealt(r):
        return r.raw(32), read_share(r)["raw"], r.list(14, lambda r: r.raw(32)), r.raw(64)

    for j, text in enumerate(published["inbound"]):
        inbound = message(text, 14, "InboundShares", lambda r: r.indexed(10000, read_dealt))
        expected = {i: (deal["b"], deal["shares"][j]["raw"],
                        path(deal["leaves"], sorted(deal["shares"]).index(j)), deal["by"])
                    for i, deal in enumerate(deals) if j in deal["shares"]}
        check(inbound == expected, "shares and their paths, as delivered")
    say("deals: signatures, trees, paths")

    opened = [[None] * n for _ in range(n)]  # dealer, holder: a-share, b-share
    for j, secret in enumerate(published["secrets"]):
        channel, identity = bytes.fromhex(secret["channel"]), bytes.fromhex(secret["identity"])
        check((public(channel), public(identity)) == (roster[j]["E"], roster[j]["S"]), "keys E and S")
        for i in (i for i in range(n) if i != j):
            es, se = agree(channel, roster[i]["S"]), agree(identity, roster[i]["E"])
            cross = es + se if j < i else se + es
            prk = extract(head, agree(channel, roster[i]["E"]) + agree(identity, roster[i]["S"]) + cross)
            ends = u16(i, j) + roster[i]["raw"] + roster[j]["raw"]
            share, deal = deals[i]["shares"][j], deals[i]
            commitment = expand(prk, L("channel-commitment", ends))
            check(share["sealed"][:32] == commitment, "commitment to a channel's key")
            data = commitment + ends + L("share-data", head, deal["b"], share["a"], share["b"])
            try:
                plain = ChaCha20Poly1305(expand(prk, L("channel-key", ends))).decrypt(
                    bytes(12), share["sealed"][32:], data)
            except InvalidTag:
                raise Mismatch("a sealed share does not open") from None
            a, b = opened[i][j] = plain[:32], plain[32:]
            check(H("mask-key-share", head, u16(i, j), a) == share["a"], "commitment to a share of a")
            check(H("self-mask-share", head, u16(i, j), b) == share["b"], "commitment to a share of b")
    acks = [message(text, 15, "ShareAck", lambda r: r.bitmap(k))[0] for text in published["acks"]]
    check(all(ack == set(range(k)) for ack in acks), "acknowledgements")
    say("channels: every share opens, and matches its commitment")

    a_keys, b_seeds = [], []
    for i in range(n):
        shares = {points[i][j]: pair for j, pair in enumerate(opened[i]) if pair}
        a_keys.append(hkdf(rebuild({x: pair[0] for x, pair in shares.items()}, t, "shares of a"),
                           L("mask-key", h_p)))
        b_seeds.append(rebuild({x: pair[1] for x, pair in shares.items()}, t, "shares of b"))
        check(public(a_keys[i]) == roster[i]["M"], "mask key M")
        check(H("self-mask-commitment", head, u16(i), b_seeds[i]) == deals[i]["b"], "commitment to b")
    say("secrets: a gives M, b answers to its commitment")

    sharers, sharers_bytes = message(published["sharers"], 16, "Sharers", lambda r: r.bitmap(n))
    head2, suite = head + H("sharers", sharers_bytes), bytes([task["suite"]])
    layout = Layout(task["coordinates"], task["ring_bits"])
    check(layout.chunks == 1 and task["suite"] == 0, "one chunk, masked with ChaCha20")

    def self_mask(i, b):
        return layout.mask(hkdf(b, L("self-mask", head2, u16(i), suite)), 0)

    def pair_mask(secret, i, j):
        shared = agree(secret, roster[j]["M"])
        return layout.mask(hkdf(shared, L("pair-mask", head2, u16(min(i, j), max(i, j)), suite)), 0)

    masked = {}
    for i, (text, data) in enumerate(zip(published["masked"], published["chunks"])):
        data = bytes.fromhex(data)
        chunk_root, tau = message(text, 17, "MaskedInput", lambda r: (r.raw(32), r.raw(64)))
        check(root([H("chunk-leaf", struct.pack("<I", 0), data)]) == chunk_root, "root of the chunks")
        signed(roster[i]["V"], tau, L("masked", head2, chunk_root), "tau")
        masked[i] = (chunk_root, tau, layout.words(0, data, "chunk"))
        words = layout.add(masked[i][2], self_mask(i, b_seeds[i]), -1)
        for j in sharers - {i}:
            words = layout.add(words, pair_mask(a_keys[i], i, j), -1 if i < j else 1)
        check(layout.values(0, words, 1, "a device's input") == published["integers"][i], "a device's input")
    say("masked inputs: root, tau, and each opens to its integers under its own masks")

    views = [message(text, 18, "Survivors", lambda r: (
        r.bitmap(n), r.bitmap(n), r.indexed(10000, lambda r: (r.raw(32), r.raw(64)))))
        for text in published["survivors"]]
    (alive, alive_bytes), (lost, lost_bytes), _ = views[0]
    check(alive == set(masked) and not alive & lost and alive | lost == sharers, "A and D are U2")
    for i, (a, d, taus) in zip(sorted(alive), views):
        check((a[1], d[1]) == (alive_bytes, lost_bytes), "one A and one D for all")
        check(taus == {j: masked[j][:2] for j in alive - {i}}, "taus of the neighbours")
    string = L("alive", head2, H("survivors", alive_bytes), H("survivors", lost_bytes))
    signatures = message(published["quorum"], 20, "Quorum", lambda r: r.indexed(10000, lambda r: r.raw(64)))
    check(len(signatures) >= quorum and set(signatures) <= alive, "size of the quorum")
    for i, signature in signatures.items():
        signed(roster[i]["V"], signature, string, "consistency signature")
    say(f"agreement: A = {sorted(alive)}, D = {sorted(lost)}, {len(signatures)} signatures")

    revealed = {i: {} for i in alive | lost}
    for j, text in zip(sorted(alive), published["reveals"]):
        for i, (kind, share) in message(text, 21, "Reveal", lambda r: r.indexed(
                10000, lambda r: (r.number("B"), r.raw(32)))).items():
            check(kind == (i in lost), "kind of a revealed share")
            label = ("self-mask-share", "mask-key-share")[kind]
            check(H(label, head, u16(i, j), share) == deals[i]["shares"][j]["ba"[kind]],
                  "commitment to a revealed share")
            revealed[i][points[i][j]] = share
    total = [0] * (layout.lanes(0) + 2)
    for i in alive:
        total = layout.add(total, masked[i][2], 1)
        total = layout.add(total, self_mask(i, rebuild(revealed[i], t, "revealed shares of b")), -1)
    for j in lost:
        secret = hkdf(rebuild(revealed[j], t, "revealed shares of a"), L("mask-key", h_p))
        check(public(secret) == roster[j]["M"], "revealed mask key M")
        for i in alive:
            total = layout.add(total, pair_mask(secret, j, i), 1 if j < i else -1)
    found = layout.values(0, total, len(alive), "the sum")
    check(found == published["sum"], "the sum")
    check(found == [sum(column) for column in zip(*(published["integers"][i] for i in alive))],
          "the sum is the sum of the inputs")
    say(f"reveals: commitments, secrets, canaries, and the sum {found}")


def lanes(cases, say):
    for case in cases:
        layout, name = Layout(len(case["values"]), case["ring_bits"]), f"lanes of {case['ring_bits']} bits"
        words = layout.words(0, bytes.fromhex(case["wire"]), name)
        check(layout.values(0, words, 1, name) == case["values"], name)
    say(f"chunks: lanes of {', '.join(str(case['ring_bits']) for case in cases)} bits")


def main():
    source = Path(sys.argv[1]) if len(sys.argv) > 1 else VECTORS / "round.json"
    try:
        lanes(json.loads((VECTORS / "encoding.json").read_text()), print)
        replay(json.loads(source.read_text()), print)
    except Mismatch as mismatch:
        print(f"second reader: does not hold: {mismatch}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
