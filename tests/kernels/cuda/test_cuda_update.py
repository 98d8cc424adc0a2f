"""An update on a device: the loss, the norm, Adam, and where the optimiser's moments are."""

from __future__ import annotations

import golden_laws
import numpy as np
import pytest
from device_arrays import get, put
from golden_laws import part
from hypothesis import given, settings
from hypothesis import strategies as st
from rnn_make import Shape, assert_close, draw, make_params, make_state
from simulated import SimulatedDevice
from update_laws import make_batch

from streamrnn.core.errors import BackendUnavailable
from streamrnn.kernels import get_backend
from streamrnn.kernels.cuda.exact import back_launches
from streamrnn.kernels.params import AdamSpec, Batch, LossSpec, OptState, Params
from streamrnn.kernels.rnn import training

F32 = "float32"
SHAPE = Shape(n_in=3, hidden=(9,), n_classes=4, n_steps=3, n_rows=5, seed=3)
ADAM = AdamSpec(lr=0.02, eps=1e-2, weight_decay=0.1)
LOSS = LossSpec(np.ones(4, np.float32), 0.1)

pytestmark = pytest.mark.usefixtures("cuda_compiler")


@pytest.fixture(scope="module")
def device():
    return SimulatedDevice()


@pytest.fixture(scope="module")
def backend(device):
    from streamrnn.kernels.cuda.backend import CudaBackend

    return CudaBackend(device)


def begin(backend, params=None):
    """Return a handle, and the memory of an optimiser."""
    params = make_params(SHAPE, F32) if params is None else params
    return backend.upload(params), OptState.zeros(params)


def update(backend, handle, opt, **changed):
    batch = make_batch(SHAPE, F32)
    for name, value in changed.items():
        getattr(batch, name)[...] = value
    return backend.train_step(handle, batch, LOSS, ADAM, opt)


def numbers(*forms):
    return np.concatenate([a.ravel() for form in forms for a in form.arrays()])


# ---- the loss


def test_weighted_cross_entropy_is_that_of_torch(backend):
    golden_laws.weighted_cross_entropy(backend, golden_laws.load(), F32)


def losses(device, logits, targets, weights, smoothing=0.0):
    """Return what the kernel makes of logits (N, C), with classes of weight 1."""
    n_all, n_classes = logits.shape
    sums = device.allocate(4 * back_launches.loss_blocks(n_all))
    d_logits = put(device, np.full_like(logits, np.nan))
    back_launches.loss(
        device, logits=put(device, logits), targets=put(device, targets),
        weights=put(device, weights), class_weights=put(device, np.ones(n_classes, np.float32)),
        d_logits=d_logits, sums=sums, n_all=n_all, n_rows=n_all, n_classes=n_classes,
        scale=1 / weights.sum(dtype=np.float64), smoothing=smoothing,
    )  # fmt: skip
    value = get(device, sums, back_launches.loss_blocks(n_all)).sum(dtype=np.float64)
    return value, get(device, d_logits, n_all, n_classes)


def test_a_loss_near_zero_keeps_its_digits(device):
    """A sum of exponentials is 1 and a little; only the little counts."""
    logits = np.array([[9.0, -8.0, -7.5], [0.0, 25.0, 1.0]], np.float32)
    value, _ = losses(device, logits, np.array([0, 1]), np.ones(2, np.float32))
    z = logits.astype(np.float64)
    others = np.exp(z - z.max(axis=1, keepdims=True)).sum(axis=1) - 1
    assert value == pytest.approx(np.log1p(others).mean(), rel=1e-6)


@given(n_all=st.integers(1, 600), n_classes=st.integers(1, 20), seed=st.integers(0, 999))
@settings(max_examples=8)
def test_the_loss_is_the_definition(device, n_all, n_classes, seed):
    rng = np.random.default_rng(seed)
    logits = (3 * rng.standard_normal((n_all, n_classes))).astype(np.float32)
    targets = rng.integers(0, n_classes, n_all)
    weights = (rng.random(n_all) * (rng.random(n_all) > 0.3)).astype(np.float32)
    weights[0] = 1
    logits[weights == 0], targets[weights == 0] = np.nan, -1
    value, d_logits = losses(device, logits, targets, weights, 0.1)
    used, z = weights != 0, logits.astype(np.float64)
    log_p = z - np.log(np.exp(z).sum(axis=1, keepdims=True))
    wanted = np.full_like(z, 0.1 / n_classes)
    wanted[used, targets[used]] += 0.9
    share = (weights / weights.sum(dtype=np.float64))[:, None]
    assert value == pytest.approx(-(share * wanted * log_p)[used].sum(), rel=1e-6)
    assert not d_logits[~used].any()
    assert_close(d_logits[used], (share * (np.exp(log_p) - wanted))[used].astype(F32), 1e-6)


# ---- the norm and Adam


class Moved:
    """Params of one matrix and one bias on a device, which Adam moves by given gradients."""

    def __init__(self, device, params):
        self.device, self.form = device, params
        self.n, zeros = numbers(params).size, np.zeros_like(numbers(params))
        is_matrix = [np.full(a.size, a.ndim == 2, np.int32) for a in params.arrays()]
        self.p, self.m, self.v = (
            put(device, numbers(params)),
            put(device, zeros),
            put(device, zeros),
        )
        self.is_matrix = put(device, np.concatenate(is_matrix))
        self.sums = device.allocate(12 * back_launches.NORM_BLOCKS)
        self.norm = device.allocate(4)

    def move(self, grads, adam, n):
        """Move for the n-th time; return the norm."""
        g = put(self.device, grads)
        back_launches.norm(self.device, g, self.sums, self.n)
        constants = (
            adam.beta1, adam.beta2, 1 - adam.beta1, 1 - adam.beta2,
            adam.lr / (1 - adam.beta1**n), (1 - adam.beta2**n) ** 0.5, adam.eps,
            1 - adam.lr * adam.weight_decay,
        )  # fmt: skip
        back_launches.adam(
            self.device, p=self.p, g=g, m=self.m, v=self.v, is_matrix=self.is_matrix,
            sums=self.sums, norm=self.norm, n=self.n, clip=adam.clip_norm, constants=constants,
        )  # fmt: skip
        return float(get(self.device, self.norm, 1)[0])

    def read(self):
        return [get(self.device, at, self.n) for at in (self.p, self.m, self.v)]


@pytest.mark.parametrize(("case", "decay"), [("adam", 0.0), ("adamw", 0.3)])
def test_adam_is_that_of_torch(device, case, decay):
    g = {k: v.astype(F32) for k, v in part(golden_laws.load(), f"{case}.").items()}
    moved = Moved(device, Params((), g["matrix0"], g["bias0"]))
    adam = AdamSpec(0.05, 0.8, 0.95, 1e-6, weight_decay=decay, clip_norm=0.0)
    for n in range(1, 4):
        norm = moved.move(numbers(Params((), g[f"g_matrix{n}"], g[f"g_bias{n}"])), adam, n)
        assert norm == pytest.approx(float(g[f"norm{n}"]), rel=3e-6)
        expected = numbers(Params((), g[f"matrix{n}"], g[f"bias{n}"]))
        assert_close(moved.read()[0], expected, 3e-6)


@given(size=st.sampled_from([1e-20, 1e-3, 1.0, 1e6]), seed=st.integers(0, 999))
@settings(max_examples=8)
def test_adam_moves_as_on_the_cpu_to_the_bit(device, size, seed):
    rng = np.random.default_rng(seed)
    form = Params((), *(rng.standard_normal(s).astype(F32) for s in ((30, 11), (30,))))
    adam = AdamSpec(0.01, weight_decay=0.2, clip_norm=0.0)
    moved, params, opt = Moved(device, form), form.copy(), OptState.zeros(form)
    for n in range(1, 4):
        shape = [a.shape for a in form.arrays()]
        grads = Params((), *((size * rng.standard_normal(s)).astype(F32) for s in shape))
        training.adam_update(params, grads, adam, opt)
        moved.move(numbers(grads), adam, n)
    for got, expected in zip(moved.read(), (params, opt.m, opt.v), strict=True):
        assert np.array_equal(got, numbers(expected))


@pytest.mark.parametrize("sizes", [(1e-35, 1e-30), (1e-20, 1e-13), (1.0, 1e8), (1e15, 1e33)])
def test_no_square_is_too_large_or_too_small(device, sizes):
    rng = np.random.default_rng(1)
    grads = rng.standard_normal(20000) * np.geomspace(*sizes, 20000)
    grads = grads.astype(F32)
    form = Params((), np.ones((200, 99), np.float32), np.ones(200, np.float32))
    moved = Moved(device, form)
    norm = moved.move(grads, AdamSpec(0.5, clip_norm=sizes[1]), 1)
    length = np.linalg.norm(grads.astype(np.float64))
    assert norm == pytest.approx(length, rel=1e-6)
    clipped = 0.1 * grads.astype(np.float64) * min(1.0, sizes[1] / length)
    assert moved.read()[1] == pytest.approx(clipped, rel=1e-6, abs=1e-44)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_norm_that_is_not_finite_moves_nothing(device, bad):
    form = Params((), np.ones((3, 5), np.float32), np.ones(3, np.float32))
    moved, grads = Moved(device, form), np.ones(18, np.float32)
    grads[7] = bad
    before = moved.read()
    assert not np.isfinite(moved.move(grads, AdamSpec(0.5), 1))
    assert all(np.array_equal(a, b) for a, b in zip(moved.read(), before, strict=True))


# ---- where the moments are


def test_moments_come_back_with_the_weights_and_not_before(backend):
    handle, opt = begin(backend)
    kept = [a for form in (opt.m, opt.v) for a in form.arrays()]
    update(backend, handle, opt)
    assert opt.n_updates == 1
    backend.download(handle)
    moved = [a for form in (opt.m, opt.v) for a in form.arrays()]
    assert all(a is b for a, b in zip(moved, kept, strict=True)), "in place"
    assert all(a.any() for a in moved)
    fresh = OptState.zeros(make_params(SHAPE, F32))
    oracle = get_backend("numpy")
    update(oracle, oracle.upload(make_params(SHAPE, F32)), fresh)
    assert_close(numbers(opt.m, opt.v), numbers(fresh.m, fresh.v))


def test_a_download_in_between_changes_nothing(backend):
    found = []
    for looks in (False, True):
        handle, opt = begin(backend)
        for _ in range(3):
            update(backend, handle, opt)
            if looks:
                backend.download(handle)
        found.append(numbers(backend.download(handle), opt.m, opt.v))
    assert np.array_equal(*found)


def test_what_is_done_to_moments_after_a_download_counts(backend):
    handle, opt = begin(backend)
    update(backend, handle, opt)
    params = backend.download(handle)
    for a in opt.m.arrays():
        a[...] = 0.25
    update(backend, handle, opt)
    elsewhere = OptState(opt.m.copy(), opt.v.copy(), 1)
    got = numbers(backend.download(handle), opt.m, opt.v)
    for a in elsewhere.m.arrays():
        a[...] = 0.25
    other = backend.upload(params)
    update(backend, other, elsewhere)
    assert np.array_equal(got, numbers(backend.download(other), elsewhere.m, elsewhere.v))


def test_the_moments_of_a_memory_that_rests_come_back(backend):
    found = []
    for has_other in (False, True):
        handle, opt = begin(backend)
        update(backend, handle, opt)
        update(backend, handle, opt)
        if has_other:
            update(backend, handle, OptState.zeros(make_params(SHAPE, F32)))
        else:
            backend.download(handle)
        found.append(numbers(opt.m, opt.v))
    assert np.array_equal(*found)
    assert found[0].any()


def test_moments_of_another_form_are_refused(backend):
    handle, _ = begin(backend)
    params = make_params(SHAPE, F32)
    opt = OptState.zeros(params.with_arrays([a[..., None] for a in params.arrays()]))
    with pytest.raises(ValueError, match=r"first moment is float32 .*, expected float32"):
        update(backend, handle, opt)


# ---- what an update touches


def test_moved_weights_show_everywhere(backend):
    handle, opt = begin(backend)
    state, x = make_state(SHAPE, F32), draw(SHAPE, F32, 1, SHAPE.n_rows, SHAPE.n_in)
    before, _ = backend.forward(handle, x, state.copy())
    update(backend, handle, opt)
    fresh = backend.upload(backend.download(handle))
    expected, _ = backend.forward(fresh, x, state.copy())
    assert not np.array_equal(expected, before)
    assert np.array_equal(backend.forward(handle, x, state.copy())[0], expected)
    logits = np.empty((SHAPE.n_rows, SHAPE.n_classes), np.float32)
    backend.step(handle, x[0], state, logits)
    assert np.array_equal(logits, expected[0])


def test_a_target_that_is_no_class_changes_nothing(backend):
    handle, opt = begin(backend)
    update(backend, handle, opt)
    before, batch = numbers(backend.download(handle), opt.m, opt.v), make_batch(SHAPE, F32)
    batch.targets[1, 2], batch.weights[1, 2] = SHAPE.n_classes, 0.5
    with pytest.raises(ValueError, match=r"targets reach from 0 to 4, expected 0\.\.3 where the"):
        backend.train_step(handle, batch, LOSS, ADAM, opt)
    assert opt.n_updates == 1
    assert np.array_equal(batch.state.arena, make_state(SHAPE, F32).arena)
    assert np.array_equal(numbers(backend.download(handle), opt.m, opt.v), before)


def test_too_little_memory_changes_nothing(backend, device, monkeypatch):
    handle, opt = begin(backend)
    update(backend, handle, opt)
    before = numbers(backend.download(handle), opt.m, opt.v)
    large = make_batch(Shape(3, (9,), 4, 3, 64), F32)
    monkeypatch.setattr(device, "memory_bytes", device.memory_bytes - device.n_free_bytes)
    with pytest.raises(BackendUnavailable):
        backend.train_step(handle, large, LOSS, ADAM, opt)
    monkeypatch.undo()
    assert opt.n_updates == 1
    assert np.array_equal(numbers(backend.download(handle), opt.m, opt.v), before)
    assert np.isfinite(update(backend, handle, opt).loss)


@pytest.mark.parametrize("size", [(0, 5), (3, 0)])
def test_an_empty_batch_moves_as_on_the_cpu(backend, size):
    """There is no gradient, but there are moments of earlier ones, and decay."""
    found, shape = [], Shape(3, (9,), 4, *size)
    for which in (backend, get_backend("cpu")):
        handle, opt = begin(which)
        opt.m.w_out[...], opt.v.w_out[...] = 0.5, 0.1
        batch = Batch(
            x=np.zeros((*size, 3), np.float32), targets=np.zeros(size, np.int64),
            weights=np.zeros(size, np.float32), lengths=np.zeros(size[1], np.int64),
            state=make_state(shape, F32),
        )  # fmt: skip
        result = which.train_step(handle, batch, LOSS, ADAM, opt)
        assert (result.loss, result.grad_norm, opt.n_updates) == (0.0, 0.0, 1)
        found.append(numbers(which.download(handle), opt.m, opt.v))
    assert np.array_equal(*found)


def test_updates_alike_use_the_same_memory_and_bring_back_little(backend, device, monkeypatch):
    handle, opt = begin(backend)
    update(backend, handle, opt)
    allocations, moved = device.n_allocations, {"read": 0, "write": 0}

    def counted(name):
        original = getattr(type(device), name)

        def call(self, address, array):
            moved[name] += array.nbytes
            original(self, address, array)

        monkeypatch.setattr(type(device), name, call)

    counted("read"), counted("write")
    batch = make_batch(SHAPE, F32)
    backend.train_step(handle, batch, LOSS, ADAM, opt)
    assert device.n_allocations == allocations
    assert moved["read"] == batch.state.arena.nbytes + 8, "the end state, the loss and the norm"
    arrays = (batch.x, batch.targets, batch.weights, batch.state.arena, batch.out_mask)
    assert moved["write"] == sum(a.nbytes for a in arrays) + 4 * (SHAPE.n_rows + SHAPE.n_classes)
