"""Thinning and matching at all thresholds together: the two inner loops of the boundary metric.

Thinning: a pixel holds one bit per threshold, and the rule that deletes it is Boolean algebra on its neighbours' words.

Matching: the truth is the same at every threshold and the predictions hardly change from one to the next, so each threshold
starts with the pairs of the one before. What a failed search has reached cannot lie on any later augmenting path of that
threshold and is closed, so all failures together cost one pass over the graph.

Functions with `njit` are compiled at their first call, about three seconds in all, and kept in numba's cache on disk.
"""

import numpy as np
from numba import njit


def thin_planes(planes: np.ndarray) -> None:
    """Thin every bit plane in place to convergence, as `skimage.morphology.thin` does (Guo and Hall's two subiterations).

    planes: uint64 (H, W, words), C-contiguous, zero in its outermost rows and columns.
    """
    height, width, words = planes.shape
    _thin(planes.reshape(height * width, words), width)


@njit(cache=True)
def _thin(planes: np.ndarray, width: int) -> None:
    """Alternate the subiterations, each over the pixels beside a change of the last two: no other can have become deletable."""
    words = planes.shape[1]
    occupied = planes[:, 0] != 0
    for word in range(1, words):
        occupied |= planes[:, word] != 0
    older, newer = np.empty(0, np.int64), np.flatnonzero(occupied)
    touched_at = np.zeros(len(planes), np.int64)
    step = 0
    while len(older) + len(newer):
        todo = np.concatenate((newer, older[touched_at[older] != step]))
        step += 1
        doomed = np.empty((len(todo), words), np.uint64)
        for i, pixel in enumerate(todo):
            for word in range(words):
                doomed[i, word] = _deletable(planes, pixel, word, width, step % 2 == 1)
        for i, pixel in enumerate(todo):
            for word in range(words):
                planes[pixel, word] &= ~doomed[i, word]
        older, newer = newer, _beside_change(planes, todo, doomed, width, touched_at, step)


@njit(cache=True)
def _deletable(planes: np.ndarray, pixel: int, word: int, width: int, first: bool) -> np.uint64:
    """The bits of one pixel's word that this subiteration deletes, by the rule of Guo and Hall (1989).

    With neighbours counted counter-clockwise from the east: exactly one crossing into the foreground; two or three neighbours
    (pairs of them, the smaller number of both pairings); and a condition on the side that this subiteration peels.
    """
    centre = planes[pixel, word]
    if centre == 0:
        return centre
    north, south = pixel - width, pixel + width
    x1, x5 = planes[pixel + 1, word], planes[pixel - 1, word]
    x2, x3, x4 = planes[north + 1, word], planes[north, word], planes[north - 1, word]
    x6, x7, x8 = planes[south - 1, word], planes[south, word], planes[south + 1, word]
    c1, c2, c3, c4 = ~x1 & (x2 | x3), ~x3 & (x4 | x5), ~x5 & (x6 | x7), ~x7 & (x8 | x1)
    one_crossing = (c1 ^ c2 ^ c3 ^ c4) & ~(c1 & c2) & ~(c3 & c4)
    two_a, four_a = _two_and_four(x1 | x2, x3 | x4, x5 | x6, x7 | x8)
    two_b, four_b = _two_and_four(x2 | x3, x4 | x5, x6 | x7, x8 | x1)
    kept_side = x1 & (x2 | x3 | ~x8) if first else x5 & (x6 | x7 | ~x4)
    return centre & one_crossing & two_a & two_b & ~(four_a & four_b) & ~kept_side


@njit(cache=True)
def _two_and_four(a: np.uint64, b: np.uint64, c: np.uint64, d: np.uint64) -> tuple[np.uint64, np.uint64]:
    """The bits set in at least two of four words, and those set in all four."""
    return (a & b) | (c & d) | ((a | b) & (c | d)), a & b & c & d


@njit(cache=True)
def _beside_change(
    planes: np.ndarray, todo: np.ndarray, doomed: np.ndarray, width: int, touched_at: np.ndarray, step: int
) -> np.ndarray:
    """The non-empty pixels within one pixel of a deletion, each once; marks them with the step in touched_at."""
    found = np.empty(len(planes), np.int64)
    count = 0
    for i, pixel in enumerate(todo):
        if not doomed[i].any():
            continue
        for row in (pixel - width, pixel, pixel + width):
            for near in range(row - 1, row + 2):
                if touched_at[near] != step and planes[near].any():
                    touched_at[near] = step
                    found[count] = near
                    count += 1
    return found[:count].copy()


def match_planes(planes: np.ndarray, truth: np.ndarray, radius: float, thresholds: int) -> np.ndarray:
    """Size of a maximum one-to-one matching of predicted to true pixels at most `radius` pixels apart, for each threshold.

    planes: uint64 (H, W, words), threshold k in bit k % 64 of word k // 64; truth: bool (H, W). Both empty within `radius` of the
    outside. Returns int64 (thresholds,).
    """
    reach = int(radius)
    dy, dx = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    squared = dy**2 + dx**2
    # Nearest first, so that greedy pairs leave little to repair.
    nearest = np.argsort(squared, axis=None, kind="stable")[: np.count_nonzero(squared <= radius * radius)]
    offsets = (dy * truth.shape[1] + dx).ravel()[nearest]
    words = planes.reshape(truth.size, -1)
    ever_present = words.any(axis=1)
    number = np.where(ever_present, np.cumsum(ever_present, dtype=np.int32) - 1, np.int32(-1))
    starts, neighbours = _neighbours(np.flatnonzero(truth), offsets, number)
    return _match_nested(words[ever_present], starts, neighbours, thresholds)


@njit(cache=True)
def _neighbours(truth: np.ndarray, offsets: np.ndarray, number: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The predictions that each true pixel may be paired with.

    truth: flat positions (T,); offsets: flat displacements; number: int32, the prediction at each flat position, or -1.
    Returns starts (T + 1,) and int32 neighbours: those of true pixel t are neighbours[starts[t]:starts[t + 1]].
    """
    starts = np.zeros(len(truth) + 1, np.int64)
    for t, position in enumerate(truth):
        starts[t + 1] = starts[t]
        for offset in offsets:
            starts[t + 1] += number[position + offset] >= 0
    neighbours = np.empty(starts[-1], np.int32)
    edge = 0
    for position in truth:
        for offset in offsets:
            if number[position + offset] >= 0:
                neighbours[edge] = number[position + offset]
                edge += 1
    return starts, neighbours


@njit(cache=True)
def _match_nested(bits: np.ndarray, starts: np.ndarray, neighbours: np.ndarray, thresholds: int) -> np.ndarray:
    """Maximum matching at every threshold, from the highest (fewest predictions) down, each started from the last."""
    partner_of_truth, partner_of_prediction = np.full(len(starts) - 1, -1), np.full(len(bits), -1)
    matched = np.zeros(thresholds, np.int64)
    for k in range(thresholds - 1, -1, -1):
        present = (bits[:, k // 64] >> np.uint64(k % 64)) & np.uint64(1) != 0
        matched[k] = _keep_present(present, partner_of_truth, partner_of_prediction)
        matched[k] += _pair_free(present, starts, neighbours, partner_of_truth, partner_of_prediction)
        matched[k] += _augment(present, starts, neighbours, partner_of_truth, partner_of_prediction)
    return matched


@njit(cache=True)
def _keep_present(present: np.ndarray, partner_of_truth: np.ndarray, partner_of_prediction: np.ndarray) -> int:
    """Dissolve the pairs whose prediction is gone; returns how many stay."""
    kept = 0
    for prediction, truth in enumerate(partner_of_prediction):
        if truth >= 0 and present[prediction]:
            kept += 1
        elif truth >= 0:
            partner_of_truth[truth] = partner_of_prediction[prediction] = -1
    return kept


@njit(cache=True)
def _pair_free(
    present: np.ndarray,
    starts: np.ndarray,
    neighbours: np.ndarray,
    partner_of_truth: np.ndarray,
    partner_of_prediction: np.ndarray,
) -> int:
    """Pair each free true pixel with its nearest free prediction, where there is one; returns the number of new pairs."""
    paired = 0
    for truth in np.flatnonzero(partner_of_truth < 0):
        for prediction in neighbours[starts[truth] : starts[truth + 1]]:
            if present[prediction] and partner_of_prediction[prediction] < 0:
                partner_of_truth[truth], partner_of_prediction[prediction] = prediction, truth
                paired += 1
                break
    return paired


@njit(cache=True)
def _augment(
    present: np.ndarray,
    starts: np.ndarray,
    neighbours: np.ndarray,
    partner_of_truth: np.ndarray,
    partner_of_prediction: np.ndarray,
) -> int:
    """Search an augmenting path from every free true pixel and apply it; returns the number of new pairs. Changes `present`."""
    reached_from, tree = np.empty(len(present), np.int64), np.full(len(present), -1)
    queue = np.empty(len(partner_of_truth), np.int64)
    paired = 0
    for root in range(len(partner_of_truth)):
        if partner_of_truth[root] >= 0:
            continue
        end, size = _search(root, present, starts, neighbours, partner_of_prediction, reached_from, tree, queue)
        if end < 0:
            # Every truth in the queue but the root came by its prediction; none of those can lie on an augmenting path any more.
            present[partner_of_truth[queue[1:size]]] = False
            continue
        paired += 1
        while end >= 0:
            truth = reached_from[end]
            freed = partner_of_truth[truth]
            partner_of_truth[truth], partner_of_prediction[end] = end, truth
            end = freed
    return paired


@njit(cache=True)
def _search(
    root: int,
    present: np.ndarray,
    starts: np.ndarray,
    neighbours: np.ndarray,
    partner_of_prediction: np.ndarray,
    reached_from: np.ndarray,
    tree: np.ndarray,
    queue: np.ndarray,
) -> tuple[int, int]:
    """Breadth-first search over alternating paths from a free true pixel.

    Returns the free prediction found, or -1, and the number of true pixels in `queue`. `tree` marks the predictions reached with
    the root, `reached_from` gives the true pixel before each.
    """
    queue[0] = root
    size = 1
    head = 0
    while head < size:
        truth = queue[head]
        head += 1
        for prediction in neighbours[starts[truth] : starts[truth + 1]]:
            if not present[prediction] or tree[prediction] == root:
                continue
            tree[prediction], reached_from[prediction] = root, truth
            if partner_of_prediction[prediction] < 0:
                return prediction, size
            queue[size] = partner_of_prediction[prediction]
            size += 1
    return -1, size
