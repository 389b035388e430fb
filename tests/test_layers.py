"""Laws of the house, read from its sources: who may import whom, and who may ask what an object has."""

import ast
from collections.abc import Container, Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import NamedTuple

import pytest

from jaxdec.types import Algorithm, Network, Problem, World

ROOT = Path(__file__).parents[1]

# From below; a module imports from its own layer and from those below. `jaxdec` itself is above all.
LAYERS = (
    ("types", "_module", "checks", "costs", "describe", "identity", "returned", "storage", "threefry", "placement"),
    ("graphs", "data"),
    ("networks", "compressors", "metrics", "results", "live"),
    ("nn", "problems", "scaling"),
    ("algorithms", "theory"),
    ("loop",),
    ("sweeps", "gradients"),
    ("papers", "catalogue", "citations", "spec", "jobs", "backend", "cli", "testing"),
)
HEIGHT = {name: height for height, layer in enumerate(LAYERS) for name in layer} | {"": len(LAYERS)}

# Where getattr and hasattr are right, and why. Elsewhere a base has the default, or `checks` has asked.
ASKS = {
    "_module.py": "the fields of a dataclass, one after another",
    "backend.py": "how many cores there are is asked of a system in its own way",
    "catalogue.py": "the names of a module, one after another",
    "algorithms/overview.py": "the names of its package, one after another",
    "compressors/maps.py": "omega, delta and k are facts that a compressor has or has not",
    "compressors/memory.py": "omega is a fact that a compressor has or has not",
    "networks/weights.py": "a graph, a matrix or an operator, and the rule of a name",
    "problems/augment.py": "an augmentation is any function of images",
    "problems/finite_sums.py": "an augmentation is any function of images",
    "problems/losses.py": "what a user's function returned, looked at once",
    "scaling.py": "start and beta are fields that a scaling has or has not",
    "testing/counted.py": "a part that counts, and else is the part it stands for",
    "testing/programs.py": "the fields of a dataclass, one after another",
    "checks/lawful.py": "what a class leaves out is filled in here, once",
    "checks/written.py": "what a user's part has and lacks is asked here, once",
    "describe.py": "objects of any kind, one field after another",
    "identity.py": "objects of any kind, one attribute after another",
    "loop.py": "the classes of a lazy package, one name after another",
    "returned.py": "what a user's method returned, looked at once",
    "metrics.py": "a metric is any callable, and may have no name",
    "problems/networks.py": "a network of Flax, what it returns and its jaxpr are not ours",
    "spec.py": "names in a file are looked up in modules",
}
MAY_ASK_THE_CONTRACT = {"checks/lawful.py", "checks/written.py"}
NAMED_TUPLE = "_fields"  # Python has no other test of a NamedTuple


class Import(NamedTuple):
    source: str  # the module that imports, such as jaxdec.data.files
    target: str  # the module that is imported
    line: int
    nested: bool  # whether it stands anywhere but at the top level of its module


class Source(NamedTuple):
    module: str  # its dotted name
    path: Path
    tree: ast.Module


@cache
def sources() -> tuple[Source, ...]:
    """All modules; a stub says what a package loads lazily, and belongs to it."""
    found = []
    for path in sorted((ROOT / "jaxdec").rglob("*.py*")):
        if path.suffix in (".py", ".pyi"):
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
            found.append(Source(name, path, ast.parse(path.read_text(), str(path))))
    return tuple(found)


@cache
def modules() -> frozenset[str]:
    return frozenset(source.module for source in sources())


def wing(module: str) -> str:
    """The wing of the house that a module belongs to; '' is jaxdec itself."""
    return module.partition(".")[2].partition(".")[0]


def imported(name: str, path: Path, node: ast.stmt, known: Container[str]) -> Iterator[str]:
    """The modules of jaxdec that a statement of the module `name` imports."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names if alias.name.split(".")[0] == "jaxdec")
    elif isinstance(node, ast.ImportFrom):
        base = node.module or ""
        if node.level:
            above = name.split(".") if path.stem == "__init__" else name.split(".")[:-1]
            base = ".".join([*above[: len(above) - node.level + 1], *base.split(".")]).rstrip(".")
        if base.split(".")[0] == "jaxdec":
            yield from (sub if (sub := f"{base}.{alias.name}") in known else base for alias in node.names)


@cache
def imports() -> tuple[Import, ...]:
    found = []
    for name, path, tree in sources():
        for node in ast.walk(tree):
            targets = imported(name, path, node, modules()) if isinstance(node, ast.stmt) else ()
            found += [Import(name, target, node.lineno, node not in tree.body) for target in targets]
    return tuple(found)


def show(found: list[Import]) -> str:
    return "\n".join(f"{i.source}:{i.line} imports {i.target}" for i in found)


def test_the_sources_are_read():
    assert Import("jaxdec.data.images", "jaxdec.data.formats", 9, False)[:2] in {i[:2] for i in imports()}
    assert {wing(i.target) for i in imports()} >= {"types", "graphs", "networks", "problems", "algorithms", "loop"}
    statement = ast.parse("from ..graphs import families, ring").body[0]
    known = {"jaxdec.graphs", "jaxdec.graphs.families"}
    path = Path("jaxdec/networks/weights.py")
    assert [*imported("jaxdec.networks.weights", path, statement, known)] == ["jaxdec.graphs.families", "jaxdec.graphs"]


def test_every_module_has_a_layer():
    assert {wing(name) for name in modules()} - set(HEIGHT) == set()


def test_no_import_points_upwards():
    upwards = [i for i in imports() if HEIGHT.get(wing(i.source), -1) < HEIGHT.get(wing(i.target), len(LAYERS))]
    assert not upwards, show(upwards)


@pytest.mark.parametrize("name", [str, wing], ids=["modules", "wings"])
def test_no_imports_go_in_a_circle(name):
    arrows: dict[str, set[str]] = {}
    for source, target, *_ in imports():
        if name(source) != name(target):
            arrows.setdefault(name(source), set()).add(name(target))
    try:
        TopologicalSorter(arrows).prepare()
    except CycleError as error:
        pytest.fail(" imports ".join(part or "jaxdec" for part in error.args[1][::-1]))


def test_imports_of_our_own_stand_at_the_top():
    hidden = [i for i in imports() if i.nested]
    assert not hidden, show(hidden)
    by_name = [
        f"{name}:{node.lineno}"
        for name, _, tree in sources()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and ast.unparse(node.func).split(".")[-1] in ("import_module", "__import__")
        and any(isinstance(a, ast.Constant) and str(a.value).split(".")[0] == "jaxdec" for a in node.args)
    ]
    assert not by_name


# What may be left out of a part is known to `checks` and to the bases.


class Asked(NamedTuple):
    file: str
    line: int
    text: str
    name: str | None  # what is asked for, where that is written there


@cache
def questions() -> tuple[Asked, ...]:
    """All uses of getattr and hasattr, but for an object's own fields by their names, and tests of a NamedTuple."""
    found = []
    for _, path, tree in sources():
        file = path.relative_to(ROOT / "jaxdec").as_posix()
        calls = {id(node.func): node for node in ast.walk(tree) if isinstance(node, ast.Call)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Name) and node.id in ("getattr", "hasattr"):
                call = calls.get(id(node))  # None where the function is handed on
                name = call.args[1] if call and len(call.args) > 1 else None
                written = name.value if isinstance(name, ast.Constant) else None
                own = call and len(call.args) == 2 and ast.unparse(call.args[0]) == "self" and written is None
                if not own and written != NAMED_TUPLE:
                    found.append(Asked(file, node.lineno, ast.unparse(call or node), written))
    return tuple(found)


def contract() -> set[str]:
    """The names that the contract knows, optional ones among them."""
    parts = {name for part in (Algorithm, Network, Problem) for name in (*vars(part), *part.__annotations__)}
    return {name for name in parts if not name.startswith("_")} | {*World._fields, "check", "advise", "limit"}


def told(found: list[Asked]) -> str:
    return "\n".join(f"jaxdec/{q.file}:{q.line} {q.text}" for q in found)


def test_only_those_with_a_reason_ask_what_an_object_has():
    without = [q for q in questions() if q.file not in ASKS]
    assert not without, told(without)
    assert ASKS.keys() == {q.file for q in questions() if q.file in ASKS}, "a file that asks no more"


def test_only_checks_ask_whether_a_part_has_what_the_contract_names():
    assert {"requires", "step", "provides", "W", "loss", "check"} <= contract()
    asked = [q for q in questions() if q.name in contract() and q.file not in MAY_ASK_THE_CONTRACT]
    assert not asked, told(asked)
