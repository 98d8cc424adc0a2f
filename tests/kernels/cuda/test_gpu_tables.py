"""The tables of what kernels are compiled to, and of what a step takes."""

from __future__ import annotations

import pytest

from benchmarks import gpu_compile, gpu_steps

needs_compiler = pytest.mark.usefixtures("cuda_compiler")
needs_disassembler = pytest.mark.skipif(
    gpu_compile.disassembler() is None, reason="nvdisasm is not installed: make .venv/.cuda"
)


@needs_compiler
@needs_disassembler
def test_a_part_of_the_table_is_printed_and_not_kept(capsys, monkeypatch):
    monkeypatch.setattr(gpu_compile, "write_document", None)
    assert gpu_compile.main(["--kernel", "gather", "--architecture", "sm_80"]) == 0
    line = capsys.readouterr().out.splitlines()[-1].split()
    assert line[:2] == ["gather-t256b1", "sm_80"]
    registers, stack, spills = map(int, line[2:5])
    assert 0 < registers <= 48
    assert (stack, spills) == (0, 0)


def test_a_table_has_a_line_a_kernel_and_a_column_an_architecture(tmp_path):
    facts = dict.fromkeys(("stack_bytes", "spill_bytes", "shared_bytes"), 0)
    rows = [
        {"kernel": kernel, "architecture": name, "registers": 10, **facts,
         "n_instructions": 20, "n_longest": 5}
        for kernel, name in (("a", "sm_80"), ("a", "sm_90a"), ("b", "sm_90a"))
    ]  # fmt: skip
    text = gpu_compile.render(rows)
    assert text.splitlines()[:4] == [
        "| kernel | sm_80 | sm_90a |",
        "|---|---|---|",
        "| `a` | 10 / 20 / 5 | 10 / 20 / 5 |",
        "| `b` | - | 10 / 20 / 5 |",
    ]
    assert "3 compilations; none of them with a stack or spills" in text
    path = tmp_path / "d.md"
    path.write_text("one\n<!-- x -->\nold\n<!-- y -->\ntwo\n")
    gpu_compile.write_document("new", "<!-- x -->", "<!-- y -->", path)
    assert path.read_text() == "one\n<!-- x -->\nnew\n<!-- y -->\ntwo\n"
    with pytest.raises(ValueError, match=r"d\.md lacks"):
        gpu_compile.write_document("new", "<!-- z -->", "<!-- y -->", path)


@needs_compiler
@pytest.mark.parametrize("precision", ["exact", "bf16"])
def test_a_step_takes_at_least_its_multiply_adds(precision):
    job = gpu_steps.Job("forward", 6, 32, 8, precision)
    (row,) = gpu_steps.rows_of(job)
    assert row["instructions"] > row["sums"] >= row["least_sums"] > 0
    assert f"| forward 6->32, 8 rows, {precision} |" in gpu_steps.render([row])
