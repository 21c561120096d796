"""The fingerprint of a run: eight hex digits of the network's structure and the recipe.

An edit that changes the computation changes the fingerprint: results of old code are never shown
as results of new code. Renaming, moving, commenting and reformatting do not change it. README.txt
lists the edits that it does not detect.
"""

import ast
import builtins
import functools
import hashlib
import inspect
import json
import linecache
import operator
import sys
from typing import Any

import torch
from torch import Tensor, fx, nn

from common import ROOT
from common.models.design import Design
from common.training.recipes import Recipe

# Code of these packages is hashed by its name: its source differs between versions.
LIBRARIES = sys.stdlib_module_names | {"torch", "torchvision", "numpy"}
NAMES = {ast.FunctionDef: "name", ast.arg: "arg", ast.Name: "id"}  # the fields with names
SKIPPED = ("annotation", "returns", "ctx", "kind", "type_comment")  # they compute nothing


@functools.cache
def fingerprint(design: Design, recipe: Recipe, normalisation: tuple[float, float]) -> str:
    """The fingerprint, eight hex digits; `normalisation` is mean and standard deviation."""
    with torch.random.fork_rng(devices=[]):
        model = design.build()
    parts = {name: of_value(value) for name, value in vars(recipe).items() if name != "name"}
    parts |= {"network": of_network(model), "normalisation": of_value(normalisation)}
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:8]


def of_network(model: nn.Module) -> list:
    """The parameters in the order of construction, own initialisation, and operations."""
    parameters = [(list(p.shape), p.requires_grad) for p in model.parameters()]
    for number, parameter in enumerate(model.parameters()):
        parameter.label = ["parameter", number]  # stands for the random values
    own = [type(module) for module in model.modules() if not is_library(type(module))]
    weights = [cls.reset_parameters for cls in own if "reset_parameters" in vars(cls)]
    try:
        operations = of_graph(model)
    except Exception:  # fx cannot trace the network: for example an `if` on a tensor's values
        modules = [module for module in model.modules() if is_library(type(module))]
        operations = of_value([modules, [cls.forward for cls in own]])
    return [parameters, of_value(weights), operations]


def of_graph(model: nn.Module) -> list:
    """Every operation of a network, traced by fx, with its arguments; results are numbered."""
    operations: list = []
    for node in fx.Tracer().trace(model).nodes:
        target = getattr(node.target, "__name__", node.target)
        if node.op == "placeholder":
            target = ""
        elif node.op in ("get_attr", "call_module"):
            target = operator.attrgetter(target)(model)
        if isinstance(target, nn.Identity) or getattr(target, "p", None) == 0:
            node.label = node.args[0].label  # an option that is off: it computes nothing
            continue
        node.label = ["result", len(operations)]
        operation = [node.op, target, node.args, sorted(node.kwargs.items())]
        operations.append(of_value(operation))
    return operations


def of_value(value: Any, users: tuple = ()) -> Any:
    """A value in a form that JSON can store. `users` are the functions that use it."""
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, int | float):
        return repr(float(value))
    if isinstance(value, list | tuple | range):
        return [of_value(item, users) for item in value]
    if isinstance(value, dict):
        return of_value(list(value.items()), users)
    if isinstance(value, slice):
        return ["slice", *of_value([value.start, value.stop, value.step])]
    if isinstance(value, Tensor | fx.Node) and hasattr(value, "label"):
        return value.label
    if isinstance(value, Tensor):
        digest = hashlib.sha256(value.detach().cpu().contiguous().numpy()).hexdigest()
        return ["tensor", str(value.dtype), list(value.shape), digest]
    if isinstance(value, nn.Module):
        return of_module(value) if is_library(type(value)) else of_network(value)
    if isinstance(value, functools.partial) or inspect.isfunction(value):
        return of_function(functools.partial(value), users)
    if inspect.isclass(value) and not is_library(value):
        return "class"  # of_network hashes the networks of this repository
    if callable(value) and not is_library(type(value)):
        return of_value([type(value).__call__, vars(value)], users)
    return getattr(value, "__name__", str(value))  # torch.float32, a function written in C


def of_module(module: nn.Module) -> list:
    """A PyTorch module: its type, arguments, parameters and buffers."""
    arguments = {
        name: of_value(value)
        for name, value in vars(module).items()
        if isinstance(value, int | float | str | tuple | None) and name[0] != "_"
    }
    del arguments["training"]
    tensors = [*module.parameters(recurse=False), *module.buffers(recurse=False)]
    return [type(module).__name__, arguments, of_value(tensors)]


def of_function(call: functools.partial, users: tuple) -> list:
    """A function with its bound and default arguments."""
    function, arguments, users = call.func, [], (*users, call.func)
    if call.args or call.keywords or not is_library(function):
        bound = inspect.signature(function).bind_partial(*call.args, **call.keywords)
        bound.apply_defaults()
        arguments = [bound.arguments.get(name) for name in bound.signature.parameters]
    code = function.__name__ if is_library(function) else of_syntax(function, users)
    return [code, of_value(arguments, users)]


def of_syntax(function: Any, users: tuple) -> Any:
    """The syntax tree of a function: numbers for local names, values for global names."""
    file, line = function.__code__.co_filename, function.__code__.co_firstlineno
    for root in ast.walk(ast.parse("".join(linecache.getlines(file)))):
        first = [*getattr(root, "decorator_list", []), root][0]
        if isinstance(root, ast.FunctionDef | ast.Lambda) and first.lineno == line:
            break
    else:
        return function.__name__  # it has no source file
    root.args.defaults, root.args.kw_defaults = [], []  # of_function hashes their values
    parts = [*ast.walk(root)]
    defined = [part for part in parts if isinstance(part, ast.FunctionDef | ast.arg)]
    defined += [p for p in parts if isinstance(p, ast.Name) and isinstance(p.ctx, ast.Store)]
    names = list(dict.fromkeys(getattr(part, NAMES[type(part)]) for part in defined))
    values = vars(builtins) | function.__globals__ | inspect.getclosurevars(function).nonlocals

    def of(part: Any) -> Any:
        if isinstance(part, list):
            return [of(item) for item in part]
        if not isinstance(part, ast.AST):
            return repr(part)
        children = {
            field: of(child)
            for field, child in ast.iter_fields(part)
            if field not in SKIPPED and child is not None and child != []
        }
        if field := NAMES.get(type(part)):
            name = getattr(part, field)
            value = values.get(name, name)
            of_global = "itself" if value in users else of_value(value, users)
            children[field] = names.index(name) if name in names else of_global
        if isinstance(part, ast.FunctionDef) and ast.get_docstring(part) is not None:
            del children["body"][0]
        return [type(part).__name__, children]

    return of(root)


def is_library(value: Any) -> bool:
    """Whether a function or class belongs to one of LIBRARIES."""
    return (getattr(value, "__module__", None) or "builtins").split(".")[0] in LIBRARIES


@functools.cache
def versions() -> dict[str, str]:
    """What all machines of a sweep must share: Python, PyTorch, and the code that trains."""
    digest = hashlib.sha256()
    rooms = [ROOT / "common" / room for room in ("data", "models", "training", "sweep")]
    for path in sorted(path for room in rooms for path in room.glob("*.py")):
        digest.update(path.read_text(encoding="utf-8").encode())  # Windows has other line ends
    python = ".".join(map(str, sys.version_info[:2]))
    return {"Python": python, "torch": torch.__version__, "code": digest.hexdigest()[:8]}
