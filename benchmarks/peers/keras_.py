"""Keras on TensorFlow: a compiled forward, and its own training function."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from benchmarks.peers.base import Job, Peer, library
from benchmarks.shapes import CLIP_NORM, LEARNING_RATE, N_CLASSES, Task


class Keras(Peer):
    """`keras.layers.LSTM`; Keras's gates are in the order i, f, c, o, its arrays rows first."""

    name = "Keras"
    packages = ("keras", "tensorflow-cpu")

    def __init__(self, n_threads: int) -> None:
        super().__init__(n_threads)
        os.environ["KERAS_BACKEND"] = "tensorflow"
        self.tf = library("tensorflow")
        self.tf.config.threading.set_intra_op_parallelism_threads(n_threads)
        self.tf.config.threading.set_inter_op_parallelism_threads(1)
        self.keras = library("keras")

    def _model(self, task: Task, *, for_training: bool) -> Any:
        layers, last = self.keras.layers, task.n_layers - 1
        stack = [self.keras.Input((task.n_steps, task.n_inputs), batch_size=task.n_rows)]
        for n in range(task.n_layers):
            whole = not for_training or n < last
            stack.append(layers.LSTM(task.n_hidden, return_sequences=whole))
        if for_training:
            stack.append(layers.Dense(N_CLASSES))
        model = self.keras.Sequential(stack)
        for layer, p in zip(model.layers, task.params.layers, strict=False):
            layer.set_weights([p.w_ih.T, p.w_hh.T, p.b])
        if for_training:
            model.layers[-1].set_weights([task.params.w_out.T, task.params.b_out])
        return model

    def _x(self, task: Task) -> Any:
        return self.tf.constant(np.ascontiguousarray(task.x.swapaxes(0, 1)))

    def sequence(self, task: Task) -> Job | None:
        model, x = self._model(task, for_training=False), self._x(task)
        run = self.tf.function(lambda x: model(x, training=False))
        return Job(lambda: run(x), lambda y: y.numpy().swapaxes(0, 1))

    def train(self, task: Task) -> Job | None:
        keras, model = self.keras, self._model(task, for_training=True)
        model.compile(
            optimizer=keras.optimizers.Adam(LEARNING_RATE, global_clipnorm=CLIP_NORM, epsilon=1e-8),
            loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            jit_compile=False,
        )
        model.make_train_function()
        batch = (self._x(task), self.tf.constant(task.labels))
        batches = iter(self.tf.data.Dataset.from_tensors(batch).repeat())

        def update() -> float:
            model.reset_metrics()
            result = model.train_function(batches)
            return float(result["loss"] if isinstance(result, dict) else result)

        return Job(update)
