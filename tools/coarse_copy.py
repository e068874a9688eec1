"""The coarse copy of a G.711 frame in 57 octets (PROTOCOL.md §9.4), written a second time, as what the engine's (relay/core/src/coarse.rs) is compared with.

Adaptive differential coding, six levels a sample, three samples an octet, made of nothing but the frame.
"""

from itertools import accumulate

FRAME_SAMPLES, COPY_OCTETS = 160, 57
PREDICTORS = ((0, 0), (56, 0), (90, -38), (112, -56))  # of the last and the last but one sample, in 64ths
LEVELS, MOVES = (4, 13, 26), (-1, 0, 3)  # in eighths of the step; what the step's index then moves by
STEPS = list(accumulate(range(63), lambda step, _: -(-step * 9 // 8), initial=4))
CENTRE = {2: 0xD5, 3: 0xFF}  # silence


def expand(codec: int, octet: int) -> int:
    """Return the sample of a G.711 octet as 16 bits. codec: 2 A-law, 3 mu-law. Spec: ITU-T G.711."""
    octet ^= CENTRE[codec]
    exponent, fraction = octet >> 4 & 7, octet & 15
    if codec == 2:
        magnitude = (fraction * 16 + 8 + (256 if exponent else 0)) << max(exponent - 1, 0)
    else:
        magnitude = (fraction * 8 + 132 << exponent) - 132
    return -magnitude if octet & 0x80 else magnitude


def compress(codec: int, sample: int) -> int:
    """Return the octet whose sample is nearest; of equal ones the greatest octet."""
    return min(range(255, -1, -1), key=lambda octet: abs(expand(codec, octet) - sample))


class Predictor:
    """What coder and decoder both follow, sample by sample."""

    def __init__(self, predictor: int, step: int, first: int) -> None:
        self.weights, self.step, self.last, self.before = PREDICTORS[predictor], step, first, first

    def expected(self) -> int:
        """Return the sample that is expected next."""
        return (self.weights[0] * self.last + self.weights[1] * self.before) >> 6

    def follow(self, symbol: int) -> int:
        """Take a symbol: level by its upper bits, sign by its lowest; return the sample."""
        change = LEVELS[symbol >> 1] * STEPS[self.step] >> 3
        sample = max(-32_768, min(32_767, self.expected() + (-change if symbol & 1 else change)))
        self.last, self.before = sample, self.last
        self.step = max(0, min(63, self.step + MOVES[symbol >> 1]))
        return sample

    def choose(self, sample: int) -> int:
        """Return the symbol that comes nearest."""
        error = sample - self.expected()
        level = min(range(3), key=lambda level: abs(abs(error) - (LEVELS[level] * STEPS[self.step] >> 3)))
        return 2 * level + (error < 0)


def coarse_copy(codec: int, frame: bytes) -> bytes:
    """Return the copy of a frame: with the predictor, of the four, whose samples come nearest in the sum of squares."""
    samples, found = [expand(codec, octet) for octet in frame], []
    for index, (a, b) in enumerate(PREDICTORS):
        residual = sum(abs(samples[i] - ((a * samples[i - 1] + b * samples[i - 2]) >> 6)) for i in range(2, FRAME_SAMPLES)) // (FRAME_SAMPLES - 2)
        start = next((step for step in range(64) if STEPS[step] >= residual), 63)
        predictor, symbols, error = Predictor(index, start, samples[0]), [0] * 162, 0
        for place, sample in enumerate(samples):
            symbols[place] = predictor.choose(sample)
            error += (predictor.follow(symbols[place]) - sample) ** 2
        packed = bytes(symbols[i] + 6 * symbols[i + 1] + 36 * symbols[i + 2] for i in range(0, 162, 3))
        found.append((error, bytes([index, start, frame[0]]) + packed))
    return min(found, key=lambda each: each[0])[1]


def frame_of_copy(codec: int, copy: bytes) -> bytes | None:
    """Return the frame that a copy stands for; None where it is none."""
    symbols = [octet // 6**place % 6 for octet in copy[3:] for place in range(3)]
    if len(copy) != COPY_OCTETS or copy[0] > 3 or copy[1] > 63 or max(copy[3:]) > 215 or any(symbols[FRAME_SAMPLES:]):
        return None
    predictor = Predictor(copy[0], copy[1], expand(codec, copy[2]))
    return bytes(compress(codec, predictor.follow(symbol)) for symbol in symbols[:FRAME_SAMPLES])
