"""The compiler: Python kernels in, object code out. Runs in a process of its own (see `build`).

Numba types and lowers the kernels; what follows is done once for a whole unit instead of once for
every function and caller: linking, optimising, and making machine code. Entries get the platform's
C calling convention.
"""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Callable, Iterator
from typing import Any, cast

import llvmlite.binding as llvm
from llvmlite import ir
from numba.core import codegen, compiler, registry, typed_passes, types, untyped_passes
from numba.core.caching import NullCache
from numba.core.compiler_lock import global_compiler_lock
from numba.core.compiler_machinery import PassManager

from streamrnn.kernels import jit
from streamrnn.kernels.native import Part, Unit

#: What compiled code may call; so it cannot allocate, lock, print or raise.
ALLOWED = frozenset(
    {"memcpy", "memmove", "memset", "exp", "exp2", "log", "log1p", "sqrt", "pow", "fmod"}
    | {"PyObject_CallOneArg", "PyLong_FromLongLong"}
)
_NUMBERS = {
    "i1": types.int8,
    "i2": types.int16,
    "i4": types.int32,
    "i8": types.int64,
    "u1": types.uint8,
    "u2": types.uint16,
    "u4": types.uint32,
    "u8": types.uint64,
    "f4": types.float32,
    "f8": types.float64,
}


def numba_type(code: str) -> Any:
    """Return Numba's type for a code of a `Unit`'s signature."""
    if code.endswith("*"):
        return types.CPointer(_NUMBERS[code[:-1]])  # type: ignore[no-untyped-call]
    return _NUMBERS[code] if code else types.void


class _Library(codegen.CPUCodeLibrary):
    """What one function was lowered to; nothing is optimised before the whole unit is there."""

    def _optimize_functions(self, ll_module: Any) -> None:
        ll_module.data_layout = self._codegen._data_layout

    def _optimize_final_module(self) -> None:
        pass

    def _finalize_specific(self) -> None:
        pass


class _Codegen(codegen.JITCPUCodegen):
    """Numba's back end, kept from making machine code of every function."""

    _library_class = _Library  # type: ignore[assignment]

    def _customize_tm_options(self, options: dict[str, Any]) -> None:
        super()._customize_tm_options(options)  # type: ignore[no-untyped-call]
        options["reloc"], options["codemodel"] = "pic", "small"

    def _add_module(self, module: Any) -> None:
        pass


def _stand_in(library: Any, fndesc: Any, env: Any) -> Callable[..., Any]:
    """Return what Numba knows a compiled function by: some built-in, never called, never twice."""
    return [].append


class _Pipeline(compiler.CompilerBase):
    """Numba's way from Python to LLVM without the stations that kernels have no use for."""

    def define_pipelines(self) -> list[Any]:
        manager = cast(Any, PassManager)("kernel")
        for station in (
            untyped_passes.TranslateByteCode,
            untyped_passes.FixupArgs,
            untyped_passes.IRProcessing,
            untyped_passes.RewriteSemanticConstants,
            untyped_passes.DeadBranchPrune,
            untyped_passes.GenericRewrites,
            untyped_passes.ReconstructSSA,
            typed_passes.NopythonTypeInference,
            typed_passes.PreLowerStripPhis,
            typed_passes.IRLegalization,
            typed_passes.NativeLowering,
            typed_passes.NoPythonBackend,
        ):
            manager.add_pass(station, station.__name__)
        manager.finalize()
        return [manager]


def _take_over() -> Any:
    """Make Numba lower into our back end; this process does nothing else."""
    context = registry.cpu_target.target_context
    context._internal_codegen = _Codegen("streamrnn")  # type: ignore[no-untyped-call]
    context.get_executable = _stand_in
    context.post_lowering = lambda *_: None  # it would link the memory allocator
    context.load_additional_registries = lambda: _load_registries(context)
    return context


def _load_registries(context: Any) -> None:
    """Load the parts of Numba that kernels use, instead of all of it."""
    for name in ("core.optional", "cpython.builtins", "cpython.numbers", "cpython.rangeobj"):
        importlib.import_module(f"numba.{name}")
    for name in ("cpython.tupleobj", "np.arrayobj", "cpython.mathimpl", "np.npyimpl"):
        module = importlib.import_module(f"numba.{name}")
        if hasattr(module, "registry"):
            context.install_registry(module.registry)


def _entry(part: Part, name: str, dispatcher: Any, context: Any, unit: Any) -> None:
    """Lower one entry and add it to the unit's library, behind a C function."""
    codes, result_code = part.signature(name)
    kinds, result = tuple(map(numba_type, codes)), numba_type(result_code)
    dispatcher.compile(kinds)
    compiled = dispatcher.overloads[kinds]
    if compiled.signature.return_type != result:
        raise TypeError(f"{name} returns {compiled.signature.return_type}, the unit says {result}")
    unit.add_linking_library(compiled.library)
    module = unit.create_ir_module(part.symbol(name))
    call = context.call_conv
    inner = ir.Function(
        module, call.get_function_type(result, kinds), compiled.fndesc.llvm_func_name
    )
    c_kinds = [context.get_value_type(kind) for kind in kinds]
    c_result = ir.VoidType() if result == types.void else context.get_value_type(result)
    outer = ir.Function(module, ir.FunctionType(c_result, c_kinds), part.symbol(name))
    builder = ir.IRBuilder(outer.append_basic_block("entry"))
    status, value = call.call_function(builder, inner, result, kinds, outer.args)
    # Nobody would hear of an exception: where the optimiser cannot prove that there is none, what
    # stays is a call that `_check` does not allow.
    with builder.if_then(status.is_error, likely=False):
        builder.call(ir.Function(module, ir.FunctionType(ir.VoidType(), []), "raise"), [])
    if result == types.void:
        builder.ret_void()
    else:
        builder.ret(value)
    unit.add_ir_module(module)


def _optimise(module: Any, exported: set[str], machine: Any) -> None:
    """Keep what the exported functions need, and optimise it as a whole."""
    apart = jit.names_apart()
    for function in module.functions:
        if function.is_declaration:
            continue
        if function.name not in exported:
            function.linkage = "internal"
        if function.name in apart:
            function.add_function_attribute("noinline")
    for variable in module.global_variables:
        if not variable.is_declaration and not variable.name.startswith("llvm."):
            variable.linkage = "internal"
    options = llvm.create_pipeline_tuning_options(speed_level=3)
    options.loop_vectorization = options.slp_vectorization = True
    builder = llvm.create_pass_builder(machine, options)
    manager = builder.getModulePassManager()
    manager.run(module, builder)
    module.verify()


def _check(part: Part, module: Any) -> None:
    """Refuse code that calls what it must not."""
    strangers = [
        f.name
        for f in module.functions
        if f.is_declaration and not f.name.startswith("llvm.") and f.name not in ALLOWED
    ]
    if strangers:
        raise TypeError(f"{part.name} calls {', '.join(sorted(strangers))}: kernels must not")


@global_compiler_lock  # type: ignore[untyped-decorator]
def compile_part(part: Part, context: Any) -> bytes:
    """Return the object code of a unit."""
    module = importlib.import_module(part.unit.module)
    for dispatcher in jit.kernels():
        dispatcher.targetoptions.update(no_cpython_wrapper=True, no_cfunc_wrapper=True, _nrt=False)
        dispatcher._cache = NullCache()
        dispatcher._compiler.pipeline_class = _Pipeline
    back_end = context.codegen()
    unit = back_end.create_library(part.name)
    for name in part.unit.entries:
        _entry(part, name, getattr(module, name), context, unit)
    unit.finalize()
    _optimise(unit._final_module, {part.symbol(name) for name in part.unit.entries}, back_end._tm)
    _check(part, unit._final_module)
    return cast(bytes, back_end._tm.emit_object(unit._final_module))


def _jobs() -> Iterator[Part]:
    for line in sys.stdin.buffer:
        job = json.loads(line)
        unit = Unit(job["name"], job["module"], job["entries"], job["generic"])
        yield Part(unit, job["dtype"])


def main() -> None:
    """Compile what is asked for on stdin, one JSON object a line; answer with length and code."""
    out = sys.stdout.buffer
    sys.stdout = sys.stderr  # nothing else may get into the answer
    context = _take_over()
    for part in _jobs():
        code = compile_part(part, context)
        out.write(len(code).to_bytes(8, "little") + code)
        out.flush()


if __name__ == "__main__":
    main()
