"""The GPU behind the driver: what is asked of it, and one line for whatever is missing."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading

import numpy as np
import pytest
from fake_driver import MIB, FakeDriver
from hypothesis import given
from hypothesis import strategies as st

from streamrnn.core.errors import BackendUnavailable
from streamrnn.kernels import backend
from streamrnn.kernels.cuda import calls, cubins, driver
from streamrnn.kernels.cuda.driver import DriverDevice
from streamrnn.kernels.cuda.kernel import Kernel
from streamrnn.kernels.cuda.memory import Buffer
from streamrnn.kernels.cuda.pool import Pool, rounded

TINY = Kernel("tiny", "nowhere", "make", "f4* i4 i8 u4 u8 f4", (("rows", 2),))
OTHER = Kernel("other", "nowhere", "make", "f4*")


@pytest.fixture(autouse=True)
def compiled(monkeypatch):
    """Give code without a compiler; return what was asked for."""
    asked = []

    def codes(kernels, capability):
        asked.append(([kernel.full_name for kernel in kernels], capability))
        return {kernel: f"code of {kernel.name}".encode() for kernel in kernels}

    monkeypatch.setattr(cubins, "codes", codes)
    return asked


@pytest.fixture
def api():
    return FakeDriver(TINY, OTHER)


@pytest.fixture
def device(api):
    return DriverDevice(api)


def test_a_device_says_what_it_is(device):
    assert device.name == "Fake H100"
    assert device.capability == (9, 0)
    assert (device.n_multiprocessors, device.shared_bytes) == (132, 227 << 10)
    assert (device.driver_version, device.n_bytes) == ((13, 0), 100 * MIB)


@pytest.mark.parametrize("n_floats", [0, 1, 1000, 100_000])
def test_what_is_written_copied_and_zeroed_is_read(device, n_floats):
    x = np.random.default_rng(0).standard_normal(n_floats).astype(np.float32)
    a, b = device.allocate(x.nbytes), device.allocate(x.nbytes)
    device.write(a, x)
    device.copy(b, a, x.nbytes)
    device.zero(a, x.nbytes)
    got, zeros = np.full((2, n_floats), np.nan, np.float32)
    device.read(b, got)
    device.read(a, zeros)
    assert np.array_equal(got, x)
    assert not zeros.any()
    for odd in (np.zeros((3, 4)).T, np.zeros(8)[::2]):
        with pytest.raises(ValueError, match="must be C-contiguous"):
            device.write(a, odd)


@pytest.mark.parametrize("n_bytes", [4, 3 << 10, 1 << 20, (1 << 20) + 4])
def test_an_array_may_be_changed_right_after_it_was_written(api, device, n_bytes):
    """However late the device reads, and however much is on its way."""
    api.is_late = True
    numbers = np.random.default_rng(n_bytes).integers(0, 255, (9, n_bytes), np.uint8)
    places, source = [device.allocate(n_bytes) for _ in numbers], np.empty(n_bytes, np.uint8)
    for address, a in zip(places, numbers, strict=True):
        source[:] = a
        device.write(address, source)
    source[:] = 0
    for address, a in zip(places, numbers, strict=True):
        device.read(address, source)
        assert np.array_equal(source, a)


def test_many_small_writes_do_not_wait_for_the_device(api, device):
    api.is_late = True
    address = device.allocate(16)
    for _ in range(1000):
        device.write(address, np.zeros(4, np.float32))
    assert "cuStreamSynchronize" not in api.calls


def test_a_launch_passes_each_argument_in_its_form(api, device, compiled):
    arguments = (1 << 45, -7, -(1 << 40), 0xFFFFFFFF, (1 << 64) - 1, 0.5)
    device.launch(TINY, (3, 2), 64, arguments, 100)
    device.launch(OTHER, (1, 1), 32, (8,))
    device.launch(OTHER, (0, 5), 32, (8,))
    assert api.launches == [
        ("tiny", (3, 2), 64, 100, arguments),
        ("other", (1, 1), 32, 0, (8,)),
    ]
    assert compiled == [([TINY.full_name], (9, 0)), ([OTHER.full_name], (9, 0))]
    for wrong in ((1, 2), (*arguments, 1), (-1, *arguments[1:]), (*arguments[:5], "x")):
        with pytest.raises(TypeError, match="tiny-rows2-t256b1 takes 'f4"):
            device.launch(TINY, (1, 1), 1, wrong)
    assert len(api.launches) == 2


def test_kernels_are_loaded_once_and_together(device, compiled):
    device.prepare([TINY, OTHER])
    device.prepare([OTHER])
    device.launch(TINY, (1, 1), 1, (0, 0, 0, 0, 0, 0.0))
    assert compiled == [([TINY.full_name, OTHER.full_name], (9, 0))]


def test_much_shared_memory_is_asked_for_once(api, device):
    for shared_bytes in (47 << 10, 100 << 10, 60 << 10, 100 << 10):
        device.launch(OTHER, (1, 1), 32, (8,), shared_bytes)
    assert api.calls.count("cuFuncSetAttribute") == 1
    assert api.allowed == {"other": 100 << 10}


def test_every_thread_works_in_the_devices_context(api, device):
    """Whatever another library left there."""

    def work():
        api.context = "another"
        device.zero(device.allocate(1 << 20), 1)

    work()
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert len(api.blocks) == 2


def test_time_and_graphs(api, device):
    begin, end = device.mark(), device.mark()
    assert device.elapsed_ms(begin, end) == 1.5
    del begin, end
    assert api.calls.count("cuEventDestroy") == 2
    with device.captured() as graph:
        device.launch(OTHER, (1, 1), 32, (8,))
    graph.launch()
    assert api.calls[-1] == "cuGraphLaunch"
    del graph
    gc.collect()
    assert api.calls[-1] == "cuGraphExecDestroy"
    with pytest.raises(ZeroDivisionError), device.captured():
        raise ZeroDivisionError
    assert api.calls[-1] == "cuStreamEndCapture"


# ---- memory


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 5_000_000)), max_size=40))
def test_pieces_never_overlap_and_all_come_back(steps):
    taken, released, at = {}, set(), [512]

    def allocate(n_bytes):
        at[0] += n_bytes
        return at[0] - n_bytes

    pool = Pool(allocate, released.add)
    for take, n_bytes in steps:
        if take or not taken:
            address = pool.take(n_bytes)
            assert address % 256 == 0
            for other, size in taken.items():
                assert address >= other + size or address + n_bytes <= other
            taken[address] = n_bytes
        else:
            address = sorted(taken)[n_bytes % len(taken)]
            del taken[address]
            pool.give(address)
    for address in taken:
        pool.give(address)
    kept = pool.n_kept_bytes
    assert kept == at[0] - 512
    pool.drop()
    assert pool.n_kept_bytes == 0
    assert len(released) <= len(steps)


@given(st.integers(0, 1 << 44))
def test_a_piece_is_hardly_larger_than_asked_for(n_bytes):
    assert n_bytes <= rounded(n_bytes) <= n_bytes * (1 + 1 / 16) + 512
    assert rounded(rounded(n_bytes)) == rounded(n_bytes)
    assert rounded(n_bytes) % 512 == 0


def test_memory_is_kept_for_the_next_and_given_back_in_need(api, device):
    first = device.allocate(60 * MIB)
    device.free(first)
    assert device.allocate(60 * MIB - 100) == first
    assert api.calls.count("cuMemAlloc") == 1
    device.free(first)
    assert device.n_free_bytes == 100 * MIB
    assert device.allocate(80 * MIB) in api.blocks
    assert len(api.blocks) == 1


def test_too_little_memory_says_how_much_and_what_to_do(device):
    kept = Buffer(device, 64 * MIB)
    with pytest.raises(BackendUnavailable) as error:
        device.allocate(70 * MIB)
    assert str(error.value) == (
        "Fake H100 has too little memory: 70 MiB more are needed, 36 of 100 are free: take a"
        " smaller batch or shorter slices, or the cpu backend"
    )
    del kept
    device.allocate(100 * MIB - 512)


# ---- whatever is missing


NO_LIBRARY = RuntimeError('"cuda" is an NVIDIA driver library and can only be found ...')
LACKS = RuntimeError('Function "cuMemHostAlloc" not found')
TOO_OLD = (
    "the NVIDIA driver is too old: it knows CUDA 12.4, and 13.0 is needed (driver 580 or newer)"
)


@pytest.mark.parametrize(
    ("errors", "options", "line"),
    [
        ({"cuDriverGetVersion": NO_LIBRARY}, {},
         "no NVIDIA driver is installed here (libcuda.so.1 was not found);"
         " a GPU needs 580 or newer"),
        ({"cuInit": "CUDA_ERROR_NO_DEVICE"}, {}, "the NVIDIA driver gives no GPU to this process"),
        ({"cuInit": "CUDA_ERROR_SYSTEM_DRIVER_MISMATCH"}, {"cuda": 12040}, TOO_OLD),
        ({"cuMemHostAlloc": LACKS}, {"cuda": 12040},
         f'{TOO_OLD} (Function "cuMemHostAlloc" not found)'),
        ({}, {"capability": (7, 0)},
         "Fake H100 is too old: compute capability 7.0, and 7.5 is needed"),
        ({"cuDevicePrimaryCtxRetain": "CUDA_ERROR_DEVICE_UNAVAILABLE"}, {},
         "Fake H100: cuDevicePrimaryCtxRetain failed: said CUDA_ERROR_DEVICE_UNAVAILABLE"
         " (CUDA_ERROR_DEVICE_UNAVAILABLE)"),
    ],
)  # fmt: skip
def test_a_device_that_cannot_be_used_is_one_line(monkeypatch, errors, options, line):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    api = FakeDriver(**options)
    api.errors = errors
    with pytest.raises(BackendUnavailable) as error:
        DriverDevice(api)
    assert str(error.value) == line


@pytest.mark.parametrize("hidden", ["", "7"])
def test_devices_that_are_hidden_are_said_to_be(monkeypatch, api, hidden):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)
    monkeypatch.setattr(api, "_cuDeviceGetCount", lambda: (0, 0))
    with pytest.raises(BackendUnavailable, match=rf"\(CUDA_VISIBLE_DEVICES is '{hidden}'\)"):
        DriverDevice(api)


@pytest.mark.parametrize(
    ("cuda", "line"),
    [
        (12040, f"{TOO_OLD}, or kernels that were compiled with numba-cuda[cu12]"),
        (13000, "Fake H100 (sm_90a) does not take kernel other-t256b1: compile it again"),
    ],
)
def test_code_that_is_refused_is_the_drivers_fault_or_the_compilers(cuda, line):
    api = FakeDriver(OTHER, cuda=cuda)
    device = DriverDevice(api)
    api.errors = {"cuModuleLoadData": "CUDA_ERROR_NO_BINARY_FOR_GPU"}
    with pytest.raises(BackendUnavailable) as error:
        device.prepare([OTHER])
    assert str(error.value) == line


def test_a_launch_that_fails_names_the_kernel(api, device):
    api.errors = {"cuLaunchKernel": "CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES"}
    with pytest.raises(BackendUnavailable, match=r"starting kernel other-t256b1 \(3 x 1 blocks of"):
        device.launch(OTHER, (3, 1), 512, (8,))


@pytest.mark.parametrize("what", ["wait", "read", "write"])
def test_a_fault_on_the_device_names_the_kernel_that_was_started_last(api, device, what):
    device.launch(OTHER, (1, 1), 32, (8,))
    api.errors = dict.fromkeys(
        ("cuStreamSynchronize", "cuMemcpyHtoDAsync"), "CUDA_ERROR_ILLEGAL_ADDRESS"
    )
    x = np.zeros(4, np.float32)
    arguments = () if what == "wait" else (ctypes_address(device), x)
    with pytest.raises(BackendUnavailable, match="kernel other-t256b1 was started last"):
        getattr(device, what)(*arguments)


def test_a_forked_process_is_told_that_it_is_one(api, device):
    api.errors = {"cuCtxSetCurrent": "CUDA_ERROR_NOT_INITIALIZED"}
    with pytest.raises(BackendUnavailable, match="forked"):
        device.allocate(1)


def ctypes_address(device):
    return device.allocate(16)


def test_bindings_that_are_not_installed_are_named(monkeypatch):
    driver.open_device.cache_clear()
    monkeypatch.setitem(sys.modules, "cuda.bindings", None)
    with pytest.raises(BackendUnavailable, match=r"pip install 'streamrnn\[cuda\]'"):
        driver.open_device()
    assert backend.choose() == (
        "cpu", "cuda-bindings is not installed: pip install 'streamrnn[cuda]'"
    )  # fmt: skip


def test_auto_takes_a_gpu_only_if_its_kernels_can_be_had(monkeypatch, device):
    monkeypatch.setattr(driver, "open_device", lambda: device)
    monkeypatch.setattr(cubins, "check", lambda kernels, capability: None)
    assert backend.choose() == ("cuda", "Fake H100")

    def check(kernels, capability):
        raise BackendUnavailable("there is no compiler for CUDA kernels")

    monkeypatch.setattr(cubins, "check", check)
    assert backend.choose() == ("cpu", "there is no compiler for CUDA kernels")


def test_the_bindings_have_all_that_is_called(api, device):
    """Besides what the errors need, everything that the other tests here made the fake do."""
    real = pytest.importorskip("cuda.bindings.driver", reason="cuda-bindings is not installed")
    names = [name for name in dir(FakeDriver) if name.startswith("_cu")]
    for name in (*(name[1:] for name in names), "cuInit", "cuCtxSetCurrent", "cuEventDestroy",
                 "cuEventRecord", "cuEventSynchronize", "cuGraphDestroy", "cuGraphExecDestroy",
                 "cuGraphLaunch", "cuStreamBeginCapture", "cuStreamSynchronize"):  # fmt: skip
        assert callable(getattr(real, name)), name
    for kind in ("CUdevice_attribute", "CUfunction_attribute", "CUstream_flags",
                 "CUstreamCaptureMode"):  # fmt: skip
        for name in vars(getattr(FakeDriver, kind)):
            assert hasattr(getattr(real, kind), name), name
    for name in (*driver._BAD_CODE, *calls._FAULTS, *calls._NO_DEVICE,
                 *calls._OLD_DRIVER, "CUDA_ERROR_OUT_OF_MEMORY"):  # fmt: skip
        assert hasattr(real.CUresult, name), name


def test_a_machine_without_driver_says_so_and_goes_on():
    code = (
        "from streamrnn.core.errors import BackendUnavailable\n"
        "from streamrnn.kernels import get_backend\n"
        "try: get_backend('cuda'); print('there is a GPU')\n"
        "except BackendUnavailable as error: print(error)\n"
        "print(get_backend('auto').name)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    line, name = done.stdout.splitlines()
    if line == "there is a GPU":
        pytest.skip("there is a GPU here")
    assert "\n" not in line
    assert name == "cpu"
