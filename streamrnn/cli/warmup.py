"""``streamrnn warmup``: compile now what would be compiled when it is first needed."""

from __future__ import annotations

import time

import click


@click.command(short_help="Compile all kernels now, so that no later start has to.")
@click.option(
    "--all",
    "everything",
    is_flag=True,
    help="Also those for float64, for many streams, and of doctor.",
)
@click.option("--backend", type=click.Choice(["cpu", "cuda", "auto"]), default="cpu",
              show_default=True, help="cuda: those of this machine's GPU besides.")  # fmt: skip
def command(*, everything: bool, backend: str) -> None:
    """Compile the kernels that run, evaluate, record and train need, or with --all every one.

    They are kept in a folder of your own (STREAMRNN_CACHE_DIR, else streamrnn in ~/.cache) until
    streamrnn, Numba or the processor changes.
    """
    from streamrnn.cli.live import chosen_backend, say_when_compiling
    from streamrnn.core.text import printable
    from streamrnn.kernels import store
    from streamrnn.runtime.warmup import compile_all, compile_gpu, compile_usual

    say_when_compiling()
    is_gpu = chosen_backend(backend) == "cuda"
    gpu_names, n_gpu_compiled = compile_gpu() if is_gpu else ([], 0)
    begin_s = time.monotonic()
    names, n_compiled = compile_all() if everything else compile_usual()
    took_s = time.monotonic() - begin_s
    what = "all kernels" if everything else "the usual kernels"
    if n_compiled:
        click.echo(f"{what}: {n_compiled} of {len(names)} units compiled in {took_s:.1f} s")
    else:
        click.echo(f"{what}: all {len(names)} units are there")
    click.echo(f"units   {', '.join(names)}")
    if is_gpu:
        click.echo(f"gpu     {len(gpu_names)} kernels, {n_gpu_compiled} of them compiled now")
    if store.problem():
        click.echo(f"kept    nowhere: {printable(store.problem(), 1000)}")
        raise click.exceptions.Exit(1)
    click.echo(f"kept    in {printable(str(store.folder()), 1000)}")
