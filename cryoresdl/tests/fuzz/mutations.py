"""How fuzzing changes a file: bytes, and text and JSON as what they are."""

import json

from cryoresdl.tests.fuzz.seeds import MARK

NUMBERS = "0 -1 1e400 -1e400 nan inf 1e38 -0.0 99999999 2147483648 -2147483649 1e-300 ******** 0x10 1,5 true null".split()


VALUES = (
    None,
    True,
    0,
    -1,
    1e308,
    float("nan"),
    float("inf"),
    2**70,
    "",
    MARK,
    "\ud800",
    "$\\frac$",
    [],
    {},
    [[]],
)


def mutated_json(value, chance, depth=0):
    """A copy of a JSON value with one branch replaced, dropped, doubled or renamed."""
    if isinstance(value, (dict, list)) and value and chance.random() < 0.85 and depth < 6:
        keys = list(value) if isinstance(value, dict) else list(range(len(value)))
        key = chance.choice(keys)
        copy = value.copy()
        kind = chance.random()
        if kind < 0.1:
            del copy[key]
        elif kind < 0.2 and isinstance(copy, list):
            copy.insert(key, value[chance.choice(keys)])
        elif kind < 0.2:
            copy[chance.choice((MARK, "", "pairs", "map", "\ud800"))] = copy.pop(key)
        else:
            copy[key] = mutated_json(value[key], chance, depth + 1)
        return copy
    return chance.choice(VALUES)


def mutated_text(text, chance):
    """A text with one number made extreme, or one line dropped, doubled, moved or cut."""
    import re

    if chance.random() < 0.6:
        numbers = list(re.finditer(rb"-?\d+(\.\d+)?", text))
        if numbers:
            at = chance.choice(numbers)
            return text[: at.start()] + chance.choice(NUMBERS).encode() + text[at.end() :]
    lines = text.splitlines(keepends=True)
    if not lines:
        return b"\n"
    number = chance.randrange(len(lines))
    line = lines.pop(number)
    kind = chance.random()
    if kind < 0.25:
        lines[number:number] = [line, line]
    elif kind < 0.5:
        lines.insert(chance.randint(0, len(lines)), line)
    elif kind < 0.75:
        lines.insert(number, line[: chance.randint(0, len(line))] + b"\n")
    return b"".join(lines)


def mutated_bytes(text, chance):
    """Some bytes changed, dropped or put in."""
    body = bytearray(text)
    for _ in range(chance.randint(0, 8)):
        kind, place = chance.random(), chance.randint(0, max(0, len(body) - 1))
        if kind < 0.5 and body:
            body[place] = chance.randrange(256)
        elif kind < 0.7 and body:
            body[place] ^= 1 << chance.randrange(8)
        elif kind < 0.8:
            del body[place : place + chance.randint(1, 64)]
        elif kind < 0.9:
            body[place:place] = bytes(chance.randrange(256) for _ in range(chance.randint(1, 16)))
        elif body:
            body[place : place + 4] = chance.choice((b"\0\0\0\0", b"\xff\xff\xff\x7f", b"\xff\xff\xff\xff"))
    return bytes(body)


def informed(target, body, chance):
    """One mutation by what the target reads, or None where bytes are as good as anything."""
    if target == "results":
        try:
            return json.dumps(mutated_json(json.loads(body), chance)).encode()
        except (ValueError, RecursionError):
            return None
    if target in ("structure", "list", "ledger") and body[:2] not in (b"\x1f\x8b", b"BZ"):
        return mutated_text(body, chance)
    return None
