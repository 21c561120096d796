"""The house: dependencies point down, workers are light, common/ has what two scripts share."""

import ast
import subprocess
import sys
from pathlib import Path

from conftest import ROOT

# Each room may import from itself, from rooms below it, and from those of its own line.
FLOORS = [
    ("report",),
    ("exploration", "inference", "digits"),
    ("experiment",),
    ("console", "cli"),
    ("settings",),
    ("sweep", "statistics", "plots"),
    ("results",),
    ("training",),
    ("models",),
    ("data",),
    ("interrupts",),
]
LEVEL = {room: level for level, rooms in enumerate(FLOORS) for room in rooms}
HEAVY = ("pandas", "matplotlib", "scipy")
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts): path
    for path in [*ROOT.glob("part*.py"), *(ROOT / "common").rglob("*.py")]
    if path.name != "__init__.py"
}


def imports(path: Path) -> set[str]:
    """The modules that a file imports, also inside functions."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def test_dependencies_point_down() -> None:
    wrong = []
    for name, path in MODULES.items():
        if not name.startswith("common."):
            continue
        room = name.split(".")[1]
        for other in imports(path):
            if other.startswith("part"):
                wrong.append(f"{name} imports the script {other}")
            target = other.split(".")[1] if other.startswith("common.") else None
            if target in LEVEL and LEVEL[target] < LEVEL[room]:
                wrong.append(f"{name} imports {other}, which is above it")
        if "argparse" in imports(path) and LEVEL[room] > LEVEL["settings"]:
            wrong.append(f"{name} imports argparse")
    assert wrong == []


def test_a_worker_imports_no_pandas_matplotlib_or_scipy() -> None:
    rooms = tuple(f"common.{room}." for room in ("data", "models", "training", "sweep.task"))
    names = [name for name in MODULES if f"{name}.".startswith(rooms)]
    assert len(names) > 10
    code = f"import sys, {', '.join(names)}; print([m for m in {HEAVY} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_every_module_of_common_serves_two_scripts() -> None:
    def reached(script: str) -> set[str]:
        names, new = {script}, {script}
        while new:
            new = set().union(*(imports(MODULES[name]) for name in new)) & set(MODULES) - names
            names |= new
        return names

    scripts = {name: reached(name) for name in MODULES if name.startswith("part")}
    for name in MODULES:
        room = name.split(".")[1] if name.startswith("common.") else None
        if room and room not in ("inference", "digits", "report"):
            assert sum(name in modules for modules in scripts.values()) >= 2, name
