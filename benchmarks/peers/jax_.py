"""JAX: compiled steps and scans."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.peers.base import Job, Peer, library
from benchmarks.shapes import CLIP_NORM, LEARNING_RATE, Task

_BETA1, _BETA2, _EPS = 0.9, 0.999, 1e-8


class Jax(Peer):
    """`jax.jit` and `lax.scan`. The number of threads is set by XLA_FLAGS and the affinity."""

    name = "JAX"
    packages = ("jax", "jaxlib")

    def __init__(self, n_threads: int) -> None:
        super().__init__(n_threads)
        self.jax, self.jnp = library("jax"), library("jax.numpy")

    def _layers(self, task: Task) -> list[Any]:
        return [
            tuple(self.jnp.asarray(np.ascontiguousarray(a.T)) for a in (p.w_ih, p.w_hh, p.b))
            for p in task.params.layers
        ]

    def _blank(self, task: Task) -> list[Any]:
        zeros = self.jnp.zeros((task.n_rows, task.n_hidden))
        return [(zeros, zeros) for _ in range(task.n_layers)]

    def _cell(self, state: Any, z: Any) -> Any:
        jax, jnp = self.jax, self.jnp
        i, f, g, o = jnp.split(z, 4, axis=-1)
        c = jax.nn.sigmoid(f) * state[1] + jax.nn.sigmoid(i) * jnp.tanh(g)
        return jax.nn.sigmoid(o) * jnp.tanh(c), c

    def _step(self, task: Task) -> Any:
        """Return ``(states, x (B, I)) -> (states, h)``, not yet compiled."""
        joined = [(self.jnp.concatenate([w_ih, w_hh]), b) for w_ih, w_hh, b in self._layers(task)]

        def step(states: Any, x: Any) -> Any:
            following = []
            for (weights, b), state in zip(joined, states, strict=True):
                z = self.jnp.concatenate([x, state[0]], axis=-1) @ weights + b
                following.append(self._cell(state, z))
                x = following[-1][0]
            return following, x

        return step

    def _carrying(self, function: Any, task: Task, example: Any) -> Any:
        states = [self._blank(task)]
        compiled = self.jax.jit(function).lower(states[0], example).compile()

        def advance(x: Any) -> Any:
            states[0], y = compiled(states[0], x)
            return y.block_until_ready()

        return advance

    def step(self, task: Task) -> Job | None:
        advance = self._carrying(self._step(task), task, task.x[0])
        return Job(advance, lambda h: np.asarray(h)[0], (1, -1))

    def chunk(self, task: Task) -> Job | None:
        step = self._step(task)
        advance = self._carrying(lambda s, x: self.jax.lax.scan(step, s, x), task, task.x)
        return Job(lambda: advance(task.x), lambda y: np.asarray(y)[:, 0])

    def streams(self, task: Task) -> Job | None:
        advance = self._carrying(self._step(task), task, task.x[0])
        x = self.jnp.asarray(task.x[0])
        return Job(lambda: advance(x))

    def _run(self, layers: Any, task: Task, x: Any) -> Any:
        """Return the hidden vectors (T, B, H); the input's products are made all at once."""
        zeros = self.jnp.zeros((task.n_rows, task.n_hidden))
        for w_ih, w_hh, b in layers:

            def step(state: Any, z: Any, w_hh: Any = w_hh) -> Any:
                state = self._cell(state, z + state[0] @ w_hh)
                return state, state[0]

            x = self.jax.lax.scan(step, (zeros, zeros), x @ w_ih + b)[1]
        return x

    def sequence(self, task: Task) -> Job | None:
        layers, x = self._layers(task), self.jnp.asarray(task.x)
        run = self.jax.jit(lambda x: self._run(layers, task, x))
        return Job(lambda: run(x).block_until_ready())

    def train(self, task: Task) -> Job | None:
        jax, jnp = self.jax, self.jnp
        tree = jax.tree
        w_out, b_out = task.params.w_out, task.params.b_out
        params = (self._layers(task), (jnp.asarray(w_out.T), jnp.asarray(b_out)))
        x, labels = jnp.asarray(task.x), jnp.asarray(task.labels)

        def loss_of(params: Any) -> Any:
            layers, (weights, b) = params
            logits = self._run(layers, task, x)[-1] @ weights + b
            return -jnp.mean(jax.nn.log_softmax(logits)[jnp.arange(task.n_rows), labels])

        def update(params: Any, m: Any, v: Any, n: Any) -> Any:
            loss, grads = jax.value_and_grad(loss_of)(params)
            norm = jnp.sqrt(sum(jnp.sum(g * g) for g in tree.leaves(grads)))
            scale = jnp.minimum(1.0, CLIP_NORM / (norm + 1e-6))
            grads = tree.map(lambda g: g * scale, grads)
            m = tree.map(lambda a, g: _BETA1 * a + (1 - _BETA1) * g, m, grads)
            v = tree.map(lambda a, g: _BETA2 * a + (1 - _BETA2) * g * g, v, grads)
            rate, root = LEARNING_RATE / (1 - _BETA1**n), 1 / (1 - _BETA2**n)
            params = tree.map(
                lambda p, a, b: p - rate * a / (jnp.sqrt(b * root) + _EPS), params, m, v
            )
            return params, m, v, n + 1, loss

        compiled = jax.jit(update, donate_argnums=(0, 1, 2))
        zeros = [tree.map(jnp.zeros_like, params) for _ in range(2)]
        now = [params, *zeros, jnp.float32(1)]

        def call() -> float:
            *now[:], loss = compiled(*now)
            return float(loss)

        return Job(call)
