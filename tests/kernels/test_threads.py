"""Sharing work over threads: each piece once, errors come back, busy threads cost nothing."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamrnn.kernels.threads import Pace, Pool, share


@given(n_pieces=st.integers(0, 40), n_threads=st.integers(1, 5))
@settings(max_examples=50)
def test_each_piece_is_done_once_and_a_number_belongs_to_one_thread(n_pieces, n_threads):
    done, owners, lock = [], {}, threading.Lock()

    def work(thread, piece):
        with lock:
            done.append(piece)
            assert owners.setdefault(thread, threading.get_ident()) == threading.get_ident()

    share(work, n_pieces, n_threads)
    assert sorted(done) == list(range(n_pieces))
    assert set(owners) <= set(range(n_threads))
    assert owners.get(0, threading.get_ident()) == threading.get_ident()


def test_threads_do_work_side_by_side():
    both = threading.Barrier(2, timeout=10)
    Pool().share(lambda thread, piece: both.wait(), 2, 2)


def test_a_helper_that_is_busy_is_not_waited_for():
    pool, gate = Pool(), threading.Event()
    entered = threading.Semaphore(0)

    def block(thread, piece):
        entered.release()
        gate.wait(10)

    other = threading.Thread(target=pool.share, args=(block, 2, 2))
    other.start()
    entered.acquire()
    entered.acquire()
    done = []
    pool.share(lambda thread, piece: done.append((thread, piece)), 5, 2)
    assert done == [(0, piece) for piece in range(5)]
    gate.set()
    other.join()
    pool.share(lambda thread, piece: done.append((thread, piece)), 3, 2)
    assert len(done) == 8


@pytest.mark.parametrize("n_threads", [1, 3])
def test_an_error_comes_back_and_the_pool_goes_on(n_threads):
    def work(thread, piece):
        if piece == 2:
            raise KeyError(piece)

    with pytest.raises(KeyError):
        share(work, 6, n_threads)
    done = []
    share(lambda thread, piece: done.append(piece), 6, n_threads)
    assert sorted(done) == list(range(6))


def test_an_interrupt_waits_for_what_others_are_at_and_leaves_the_rest():
    gate, done = threading.Event(), []

    def work(thread, piece):
        if thread == 0:
            gate.wait(10)
            raise KeyboardInterrupt
        gate.set()
        done.append(piece)

    with pytest.raises(KeyboardInterrupt):
        Pool().share(work, 10**6, 2)
    assert 0 < len(done) < 10**6
    finished = len(done)
    share(lambda thread, piece: None, 4, 2)
    assert len(done) == finished


@pytest.mark.parametrize("is_busy", [False, True])
def test_work_is_shared_where_that_is_faster_and_tried_again_now_and_then(is_busy):
    pace, took = Pace(), {True: 1.5 if is_busy else 0.6, False: 1.0}
    ways = []
    for _ in range(200):
        ways.append(pace.shares())
        pace.note(took[ways[-1]], shared=ways[-1])
    slower = ways.count(is_busy)
    assert slower <= 200 // Pace.PROBE_EVERY + Pace.N_RECENT
    took[True] = 2.1 - took[True]  # the machine gets busy, or is free again
    later = []
    for _ in range(200):
        later.append(pace.shares())
        pace.note(took[later[-1]], shared=later[-1])
    assert later[-100:].count(not is_busy) <= 100 // Pace.PROBE_EVERY + 1
