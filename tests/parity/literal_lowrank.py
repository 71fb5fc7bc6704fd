"""The low-rank methods as their formulas read: one frame, full singular value decompositions, every Fourier slice, loops.

numpy only, grey levels in and out; nothing here is imported from the package. Each returns the target image.
"""

from __future__ import annotations

import numpy as np


def positions(length, patch, step):
    """Return the starts of patches as the released codes write them (0-based)."""
    number = int(np.ceil((length - patch) / step)) + 1
    return [*range(0, (number - 1) * step, step), length - patch]


def cut(image, patch, step):
    """Return the patches of an image, (p, p, n), columns outermost."""
    found = []
    for col in positions(image.shape[1], patch, step):
        for row in positions(image.shape[0], patch, step):
            found.append(image[row : row + patch, col : col + patch])
    return np.stack(found, axis=2).astype(float)


def paste(patches, shape, patch, step, how):
    """Return the image of patches: ``last``, ``mean`` or ``median`` where they overlap."""
    values = [[[] for _ in range(shape[1])] for _ in range(shape[0])]
    k = 0
    for col in positions(shape[1], patch, step):
        for row in positions(shape[0], patch, step):
            for i in range(patch):
                for j in range(patch):
                    values[row + i][col + j].append(patches[i, j, k])
            k += 1
    reduce = {"last": lambda v: v[-1], "mean": np.mean, "median": np.median}[how]
    return np.array([[reduce(pixel) for pixel in line] for line in values])


def scaled(values):
    """Return values scaled to [0, 1]."""
    return (values - values.min()) / (values.max() - values.min())


def gaussian(image, sigma):
    """Return an image smoothed by the normalised 3x3 Gaussian, symmetric borders."""
    offsets = np.array([-1, 0, 1])
    kernel = np.exp(-(offsets[:, None] ** 2 + offsets**2) / (2 * sigma**2))
    padded, (rows, cols) = np.pad(image, 1, mode="symmetric"), image.shape
    weights = kernel / kernel.sum()
    return sum(weights[i, j] * padded[i : i + rows, j : j + cols] for i in range(3) for j in range(3))


def eigenvalues(image, sigma_frame, sigma_products):
    """Return the eigenvalues of the structure tensor, larger first."""
    down, right = np.gradient(gaussian(image, sigma_frame))
    xx, xy, yy = (gaussian(product, sigma_products) for product in (right * right, right * down, down * down))
    tensors = np.stack([np.stack([xx, xy], -1), np.stack([xy, yy], -1)], -1)
    found = np.linalg.eigvalsh(tensors)
    return found[..., 1], found[..., 0]


def svt(matrix, threshold):
    """Return a matrix with soft-thresholded singular values, and how many are left."""
    u, s, vh = np.linalg.svd(matrix, full_matrices=False)
    return u @ np.diag(np.maximum(s - threshold, 0)) @ vh, int((s > threshold).sum())


def soft(values, threshold):
    """Return the soft threshold of values."""
    return np.sign(values) * np.maximum(np.abs(values) - threshold, 0)


def ipi(grey, patch, step, weight="frame", how="median"):
    """IPI by accelerated proximal gradient, both parts in full; the tie of its first step is broken as ours."""
    tensor = cut(scaled(grey), patch, step)
    d = tensor.reshape(patch * patch, -1)
    lam = 1 / np.sqrt(max(grey.shape) if weight == "frame" else max(d.shape))
    s = np.linalg.svd(d, compute_uv=False)
    mu, mu_bar = s[1] * (1 + 1e-6), 0.005 * s[3]
    a = a_before = e = e_before = np.zeros_like(d)
    t = t_before = 1.0
    steady, rank_before, card_before = 0, 0, 0
    for _ in range(1, 1001):
        y_a = a + (t_before - 1) / t * (a - a_before)
        y_e = e + (t_before - 1) / t * (e - e_before)
        residual = y_a + y_e - d
        a_next, rank = svt(y_a - residual / 2, mu / 2)
        e_next = soft(y_e - residual / 2, lam * mu / 2)
        card = int((np.abs(e_next) > 0).sum())
        both = a_next + e_next - y_a - y_e
        gradient = np.hstack([2 * (y_a - a_next) + both, 2 * (y_e - e_next) + both])
        done = np.linalg.norm(gradient) / (2 * max(1, np.linalg.norm(np.hstack([a_next, e_next])))) <= 1e-6
        if rank == rank_before:
            steady += 1
            done = done or (steady > 10 and abs(card - card_before) < 20)
        else:
            steady, card_before = 0, card
        done = done or rank > 0.3 * min(d.shape)
        rank_before = rank
        t_before, t = t, (1 + np.sqrt(1 + 4 * t * t)) / 2
        mu = max(0.9 * mu, mu_bar)
        a_before, a, e_before, e = a, a_next, e, e_next
        if done:
            break
    return paste(e.reshape(tensor.shape), grey.shape, patch, step, how) * (grey.max() - grey.min())


def nram(grey, patch, step, is_literal=False):
    """NRAM by ADMM with the multiplier in full."""
    tensor = cut(scaled(grey), patch, step)
    d = tensor.reshape(patch * patch, -1)
    short, long = min(d.shape), max(d.shape)
    lam, beta, mu, gamma = 1 / np.sqrt(short), 3 / np.sqrt(short), 3 * np.sqrt(long), 2e-3
    s, e, y, sigma = np.zeros_like(d), np.zeros_like(d), np.zeros_like(d), np.zeros(short)
    for _ in range(1, 1001):
        u, values, vh = np.linalg.svd(d - s - e - y / mu, full_matrices=False)
        for _ in range(100):
            after = np.maximum(values - (1 + gamma) * gamma / (gamma + sigma) ** 2 / mu, 0)
            change, sigma = ((after - sigma) ** 2).sum(), after
            if change < 1e-6:
                break
        low = u @ np.diag(sigma) @ vh
        t = d - low - e - y / mu
        w = np.sqrt(short) / 2.5 / (np.abs(t) + 0.04)
        s = np.maximum(t - lam * w / mu, 0) + np.minimum(t + lam * w / (1 if is_literal else mu), 0)
        q = d - s - low - y / mu
        e = np.zeros_like(d)
        for k in range(d.shape[1]):
            length = np.linalg.norm(q[:, k])
            if length > beta / mu:
                e[:, k] = (length - beta / mu) / length * q[:, k]
        y = y + mu * (low + e - d + s)
        mu *= 1.1
        if np.linalg.norm(d - s - low - e) / np.linalg.norm(d) < 1e-7:
            break
    how = "last" if is_literal else "mean"
    return paste(s.reshape(tensor.shape), grey.shape, patch, step, how) * (grey.max() - grey.min())


def unfold(tensor, axis):
    """Return the unfolding of a tensor along an axis."""
    return np.moveaxis(tensor, axis, 0).reshape(tensor.shape[axis], -1)


def fold(matrix, axis, shape):
    """Return the tensor of an unfolding."""
    rest = [length for k, length in enumerate(shape) if k != axis]
    return np.moveaxis(matrix.reshape([shape[axis], *rest]), 0, axis)


def ript(grey, patch, step, how="mean"):
    """RIPT by ADMM with one background and multiplier an axis."""
    large, small = eigenvalues(grey, 1.2, 2.0)
    prior = cut(np.exp(1.0 * scaled(large - small)), patch, step)
    f = cut(grey, patch, step)
    lam, mu = 0.7 / np.sqrt(min(f.shape)), 5 * f.std(ddof=1)
    backgrounds, multipliers = [f, f, f], [np.zeros_like(f) for _ in range(3)]
    t, w, before = np.zeros_like(f), prior, f.size
    for _ in range(1, 501):
        for k in range(3):
            low, _ = svt(unfold(f + mu * multipliers[k] - t, k), mu)
            backgrounds[k] = fold(low, k, f.shape)
        total = sum(backgrounds[k] - f - mu * multipliers[k] for k in range(3))
        t = np.maximum(-total / 3 - w * mu * lam / 3, 0)
        w = prior / (np.abs(t) + 0.01)
        for k in range(3):
            multipliers[k] = multipliers[k] - (backgrounds[k] + t - f) / mu
        mu /= 1.5
        residual = np.linalg.norm(f - sum(backgrounds) / 3 - t) / np.linalg.norm(f)
        card = int((t > 0).sum())
        if residual < 1e-7 or card == before:
            break
        before = card
    return paste(t, grey.shape, patch, step, how)


def pstnn_parts(grey, patch, step, is_literal=False):
    """Return the background and target patches of PSTNN by ADMM, all Fourier slices."""
    large, small = eigenvalues(grey, 2.0, 9.0)
    corners = np.where(large + small > 0, large * small / np.where(large + small > 0, large + small, 1), 0) * large
    prior, x = cut(scaled(corners), patch, step), cut(grey, patch, step)
    number = x.shape[2]
    matrix = x.reshape((number, -1), order="F") if is_literal else unfold(x, 2)
    values = np.linalg.svd(matrix, compute_uv=False)
    rank = max(1, int((values / values[0] >= 0.1).sum()))
    lam, mu = 0.7 / np.sqrt(patch * number), 2e-3
    s, y, w, before = np.zeros_like(x), np.zeros_like(x), np.ones_like(x), 0
    for _ in range(1, 501):
        slices = np.fft.fft(x - s - y / mu, axis=2)
        for k in range(number):
            u, sigma, vh = np.linalg.svd(slices[:, :, k])
            sigma[rank:] = np.maximum(sigma[rank:] - 1 / mu, 0)
            slices[:, :, k] = u @ np.diag(sigma) @ vh
        low = np.fft.ifft(slices, axis=2).real
        s = np.maximum(x - low - y / mu - w * lam / mu, 0)
        with np.errstate(divide="ignore"):
            w = rank / (np.abs(s) + 0.01) / prior
        card = int((s > 0).sum())
        if np.linalg.norm(low + s - x) / np.linalg.norm(x) < 1e-3 or (card == before and card > 0):
            break
        before = card
        y = y + mu * (low + s - x)
        mu = min(1.05 * mu, 1e10)
    return low, s


def pstnn(grey, patch, step, is_literal=False):
    """PSTNN."""
    _, target = pstnn_parts(grey, patch, step, is_literal)
    return paste(target, grey.shape, patch, step, "last" if is_literal else "mean")


def schatten_shrink(values, weights, p):
    """Return the minimisers of w x^p + (x - s)^2 / 2 over x >= 0: the larger root of the derivative where it beats 0."""
    x = values.copy()
    with np.errstate(all="ignore"):
        for _ in range(60):
            x = values - weights * p * np.maximum(x, 1e-300) ** (p - 1)
        better = weights * np.abs(x) ** p + 0.5 * (x - values) ** 2 < 0.5 * values**2
    return np.where((x > 0) & better, x, 0)


def mslstipt(frames, patch, step, sparsity=10.0, dictionary="denoised"):
    """Return the targets of one window of frames (L, H, W): our reconstruction of MSLSTIPT, all Fourier slices."""
    tensors = [cut(frame, patch, step) for frame in frames]
    bases = [pstnn_parts(frame, patch, step)[0] for frame in frames] if dictionary == "denoised" else tensors
    x, length = np.concatenate(tensors, axis=2) / 255, len(frames)
    number = x.shape[2]
    a = np.fft.fft(np.concatenate(bases, axis=2) / 255, axis=2) / length
    z, y2 = np.zeros_like(a), np.zeros_like(a)
    t, y1 = np.zeros_like(x), np.zeros_like(x)
    lam, mu = sparsity / np.sqrt(patch * number / length), 1e-3
    for _ in range(1, 501):
        j, z_next = np.zeros_like(z), np.zeros_like(z)
        wanted = np.fft.fft(x - t + y1 / mu, axis=2) / length
        for k in range(number):
            u, s, vh = np.linalg.svd(z[:, :, k] + y2[:, :, k] / mu)
            j[:, :, k] = u @ np.diag(schatten_shrink(s, 1 / (s + 1e-2) / mu, 0.8)) @ vh
            right = a[:, :, k].conj().T @ wanted[:, :, k] + j[:, :, k] - y2[:, :, k] / mu
            z_next[:, :, k] = np.linalg.solve(a[:, :, k].conj().T @ a[:, :, k] + np.eye(patch), right)
        z = z_next
        low = np.fft.ifft(np.einsum("ijk,jlk->ilk", a, z), axis=2).real * length
        t = soft(x - low + y1 / mu, lam / mu)
        y1, y2 = y1 + mu * (x - low - t), y2 + mu * (z - j)
        half = slice(0, number // 2 + 1)  # the gap is measured over the half spectrum
        gap = np.linalg.norm((z - j)[:, :, half]) <= 1e-4 * np.linalg.norm(z[:, :, half])
        if np.linalg.norm(x - low - t) <= 1e-4 * np.linalg.norm(x) and gap:
            break
        mu = min(1.1 * mu, 1e10)
    size = len(tensors[0][0, 0])
    parts = [t[:, :, k * size : (k + 1) * size] for k in range(len(frames))]
    return np.stack([255 * paste(part, frames[0].shape, patch, step, "mean") for part in parts])
