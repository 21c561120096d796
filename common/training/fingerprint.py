"""The fingerprint of a run: eight hex digits of the network's structure and the recipe.

An edit that changes the computation changes the fingerprint: results of old code are never shown
as results of new code. Renaming, moving, commenting and reformatting do not change it. README.txt
lists the edits that it does not detect.

Of a network, we hash the shapes of the parameters in the order of construction, the operations of
`forward` as traced by torch.fx, with the modules' arguments and buffers, and the source of
`reset_parameters`. Of a function, we hash the syntax tree without docstring, annotations and local
names, the arguments, and the functions and constants that it uses.
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
from collections.abc import Callable
from dataclasses import fields
from typing import Any

import torch
from torch import Tensor, fx, nn

from common.models.design import Design
from common.training.recipes import Recipe

# Code of these packages is hashed by its name: its source differs between versions.
LIBRARIES = sys.stdlib_module_names | {"torch", "torchvision", "numpy"}
DEFINED = ast.FunctionDef | ast.arg  # parts of a syntax tree that define local names
# Parts of a syntax tree that do not change the computation, or are hashed elsewhere.
SKIPPED = ("annotation", "returns", "defaults", "kw_defaults", "ctx", "kind", "type_comment")


@functools.cache
def fingerprint(design: Design, recipe: Recipe, normalisation: tuple[float, float]) -> str:
    """The fingerprint, eight hex digits; `normalisation` is mean and standard deviation."""
    with torch.random.fork_rng(devices=[]):
        model = design.build()
    parts = {field.name: of_value(getattr(recipe, field.name)) for field in fields(recipe)}
    del parts["name"]
    parts |= {"network": of_network(model), "normalisation": of_value(normalisation)}
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:8]


def of_network(model: nn.Module) -> list:
    """The parameters, own initialisation and traced operations of a network."""
    parameters = [(list(p.shape), p.requires_grad) for p in model.parameters()]
    for number, parameter in enumerate(model.parameters()):
        parameter.number = number  # stands for the random values
    own = [type(module) for module in model.modules() if not is_library(type(module))]
    weights = [of_value(cls.reset_parameters) for cls in own if "reset_parameters" in vars(cls)]
    try:
        operations = of_graph(model)
    except Exception:  # fx cannot trace the network: for example an `if` on a tensor's values
        modules = [of_module(m) for m in model.modules() if is_library(type(m))]
        operations = [modules, [of_value(cls.forward) for cls in own]]
    return [parameters, weights, operations]


def of_graph(model: nn.Module) -> list:
    """Every operation of a network, traced by fx, with its arguments; results are numbered."""
    operations: list = []
    for node in fx.Tracer().trace(model).nodes:
        target: Any = node.target if isinstance(node.target, str) else node.target.__name__
        if node.op == "placeholder":
            target = ""
        elif node.op == "get_attr":
            target = of_value(operator.attrgetter(node.target)(model))
        elif node.op == "call_module":
            module = model.get_submodule(node.target)
            if isinstance(module, nn.Identity) or getattr(module, "p", None) == 0:
                node.meta = node.args[0].meta  # an option that is off: it computes nothing
                continue
            target = of_module(module)
        node.meta["number"] = len(operations)
        named = of_value(dict(sorted(node.kwargs.items())))
        operations.append([node.op, target, of_value(node.args), named])
    return operations


def of_module(module: nn.Module) -> list:
    """A PyTorch module: its type, arguments and parameters."""
    simple = (bool, int, float, str, tuple, type(None))
    arguments = {
        name: of_value(value)
        for name, value in vars(module).items()
        if not name.startswith("_") and name != "training" and isinstance(value, simple)
    }
    tensors = [*module.parameters(recurse=False), *module.buffers(recurse=False)]
    return [type(module).__name__, arguments, of_value(tensors)]


def of_value(value: Any, parents: tuple[Callable, ...] = ()) -> Any:
    """A value in a form that JSON can store. `parents` are the functions that use it."""
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, int | float):
        return repr(float(value))
    if isinstance(value, list | tuple | range):
        return [of_value(item, parents) for item in value]
    if isinstance(value, dict):
        return [[of_value(k, parents), of_value(v, parents)] for k, v in value.items()]
    if isinstance(value, slice):
        return ["slice", of_value(value.start), of_value(value.stop), of_value(value.step)]
    if isinstance(value, fx.Node):
        return ["result", value.meta["number"]]
    if isinstance(value, Tensor) and hasattr(value, "number"):
        return ["parameter", value.number]
    if isinstance(value, Tensor):
        digest = hashlib.sha256(value.detach().cpu().contiguous().numpy().tobytes()).hexdigest()
        return ["tensor", str(value.dtype), list(value.shape), digest]
    if isinstance(value, functools.partial) or inspect.isfunction(value):
        return of_function(value, parents)
    if inspect.isclass(value) and not is_library(value):
        return "class"  # of_network hashes the networks of this repository
    if callable(value) and not is_library(type(value)):
        return [of_function(type(value).__call__, parents), of_value(vars(value), parents)]
    return getattr(value, "__name__", str(value))  # torch.float32, a function written in C


def of_function(value: Callable, parents: tuple[Callable, ...]) -> Any:
    """A function with its bound and default arguments."""
    arguments, named = (), {}
    while isinstance(value, functools.partial):
        arguments, named = (*value.args, *arguments), {**value.keywords, **named}
        value = value.func
    parents, values = (*parents, value), []
    if arguments or named or not is_library(value):
        bound = inspect.signature(value).bind_partial(*arguments, **named)
        bound.apply_defaults()
        names = bound.signature.parameters
        values = [of_value(bound.arguments.get(name), parents) for name in names]
    return [value.__name__ if is_library(value) else of_syntax(value, parents), values]


def of_syntax(function: Callable, parents: tuple[Callable, ...]) -> Any:
    """The syntax tree of a function: numbers for local names, values for global names."""
    node = syntax_node(function)
    if node is None:
        return function.__name__
    values = {**vars(builtins), **function.__globals__}
    values |= inspect.getclosurevars(function).nonlocals
    parts = [*ast.walk(node)]
    names = [p.arg if isinstance(p, ast.arg) else p.name for p in parts if isinstance(p, DEFINED)]
    names += [p.id for p in parts if isinstance(p, ast.Name) and isinstance(p.ctx, ast.Store)]
    numbers = {name: number for number, name in enumerate(dict.fromkeys(names))}

    def of(part: Any) -> Any:
        if isinstance(part, list):
            return [of(item) for item in part]
        if not isinstance(part, ast.AST):
            return repr(part)
        children = {
            name: of(child)
            for name, child in ast.iter_fields(part)
            if name not in SKIPPED and child is not None and child != []
        }
        if isinstance(part, ast.Name):
            value = values.get(part.id, part.id)
            of_global = "itself" if value in parents else of_value(value, parents)
            children["id"] = numbers.get(part.id, of_global)
        elif isinstance(part, ast.arg):
            children["arg"] = numbers[part.arg]
        elif isinstance(part, ast.FunctionDef):
            children["name"] = numbers[part.name]
            if ast.get_docstring(part) is not None:
                children["body"] = children["body"][1:]
        return [type(part).__name__, children]

    return of(node)


def syntax_node(function: Callable) -> ast.AST | None:
    """The syntax tree of a function or lambda; None without a source file."""
    code = function.__code__
    tree = ast.parse("".join(linecache.getlines(code.co_filename)))
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.Lambda):
            decorators = getattr(node, "decorator_list", [])
            if min(part.lineno for part in (node, *decorators)) == code.co_firstlineno:
                return node
    return None


def is_library(value: Any) -> bool:
    """Whether a function or class belongs to one of LIBRARIES."""
    return (getattr(value, "__module__", None) or "builtins").split(".")[0] in LIBRARIES
