"""No circle of imports, nothing from the method upwards, and only integration writes into torchreid."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator

import pytest

from tests.layouts_torchreid import REPOSITORY
from tests.package_imports import circle, folder_graph, folder_of, imported, module_graph, modules, picture

GRAPH = module_graph()
FOLDERS = folder_graph(GRAPH)
LOWEST = ("losses", "association", "metrics", "utils")
METHOD = ("losses", "terms", "association", "engine", "models", "data", "metrics", "optim", "utils")


def test_what_counts_as_an_import() -> None:
    known = dict.fromkeys(["p", "p.a", "p.a.b", "p.c", "p.d"])
    source = """
import p.c
from p.a import b, name
from . import b as again
from ..d import name
if TYPE_CHECKING:
    from p import c
def late():
    import p
"""
    assert set(imported("p.a.x", source, False, known)) == {"p", "p.a", "p.a.b", "p.c", "p.d"}
    assert set(imported("p.a", "from . import b\nfrom .. import d", True, known)) == {"p.a.b", "p.d"}
    assert set(imported("p.c", "import numpy, p.c, p.nowhere", False, known)) == set()


def test_circles_are_found() -> None:
    assert circle({"a": {"b"}, "b": {"c"}, "c": set()}) == []
    assert circle({"a": {"b"}, "b": {"c", "d"}, "c": {"b"}, "d": set()}) == ["b", "c", "b"]
    assert circle({"a": {"b", "c"}, "b": {"d"}, "c": {"d"}, "d": set()}) == []


def test_no_circle_between_modules() -> None:
    assert len(GRAPH) > 100
    assert circle(GRAPH) == []


def test_no_circle_between_folders() -> None:
    assert circle(FOLDERS) == []


@pytest.mark.parametrize("folder", LOWEST)
def test_the_lowest_folders_know_nothing_above_them(folder: str) -> None:
    assert FOLDERS[folder] <= {"utils"} - {folder}


@pytest.mark.parametrize("folder", METHOD)
def test_the_method_knows_no_rendered_people(folder: str) -> None:
    assert "synthetic" not in _reached(FOLDERS, folder)


def _reached(graph: dict[str, set[str]], start: str) -> set[str]:
    found: set[str] = set()
    waiting = [start]
    while waiting:
        for target in graph[waiting.pop()] - found:
            found.add(target)
            waiting.append(target)
    return found


def test_no_two_modules_share_a_name_but_a_term_and_its_loss() -> None:
    places = defaultdict(set)
    for name, path in modules().items():
        if path.name != "__init__.py":
            places[path.stem].add(folder_of(name))
    shared = {stem: folders for stem, folders in places.items() if len(folders) > 1}
    assert {stem for stem, folders in shared.items() if folders != {"terms", "losses"}} == set()
    twice = [path.stem for path in modules().values() if path.name != "__init__.py"]
    assert len(twice) == len(places) + len(shared)  # nor two of one name in one folder


def test_the_picture_in_the_docs_is_the_code() -> None:
    page = (REPOSITORY / "docs" / "architecture.md").read_text(encoding="utf-8")
    assert f"```\n{picture(GRAPH)}\n```" in page


# --- nobody but integration/ writes into torchreid's objects ---

TORCHREIDS = {"torchreid", "datamanager", "manager", "train_loader", "train_loader_t", "test_loader"}
"""Names by which this package calls torchreid, its data managers, and what these hold."""
WRITERS = ("append", "extend", "insert", "remove", "pop", "update", "setdefault", "clear", "register_image_dataset")
COPIES = ("copy", "deepcopy")


def writes(source: str) -> Iterator[str]:
    """The statements of a module that write into torchreid's objects, as ``line: statement``.

    What is followed: names in ``TORCHREIDS``, attributes and items of them, what torchreid's functions give, variables
    that any of these is assigned to, and ``engine`` where a function is handed one. A copy is one's own.
    """
    tree = ast.parse(source)
    scopes = [tree, *(node for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)))]
    for scope in scopes:
        theirs = set(TORCHREIDS)
        if not isinstance(scope, ast.Module):
            arguments = scope.args
            theirs |= {a.arg for a in (*arguments.args, *arguments.kwonlyargs) if a.arg == "engine"}
        own: set[str] = set()
        for node in _in_order(scope):
            if isinstance(node, ast.Assign) and all(isinstance(target, ast.Name) for target in node.targets):
                names = {target.id for target in node.targets if isinstance(target, ast.Name)}
                if _is_theirs(node.value, theirs - own):
                    theirs |= names
                    own -= names
                else:
                    own |= names & (TORCHREIDS | theirs)
            if _writes(node, theirs - own):
                yield f"{node.lineno}: {ast.unparse(node)}"


def _in_order(scope: ast.AST) -> Iterator[ast.AST]:
    """The nodes of a scope in the order of the source, without those of functions inside it."""
    for child in ast.iter_child_nodes(scope):
        if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef)):
            continue
        yield child
        yield from _in_order(child)


def _is_theirs(value: ast.AST, theirs: set[str]) -> bool:
    """Whether an expression is one of torchreid's objects."""
    if isinstance(value, ast.Name):
        return value.id in theirs
    if isinstance(value, ast.Attribute):
        return value.attr in TORCHREIDS or _is_theirs(value.value, theirs)
    if isinstance(value, ast.Subscript):
        return _is_theirs(value.value, theirs)
    if isinstance(value, ast.Call):
        name = value.func.attr if isinstance(value.func, ast.Attribute) else getattr(value.func, "id", "")
        if name in ("getattr", "vars"):
            return _is_theirs(value.args[0], theirs)
        return name not in COPIES and name.islower() is False and _is_theirs(value.func, theirs)
    return False


def _writes(node: ast.AST, theirs: set[str]) -> bool:
    targets: list[ast.AST] = []
    if isinstance(node, (ast.Assign, ast.Delete)):
        targets = list(node.targets)
    elif isinstance(node, (ast.AugAssign, ast.AnnAssign)):
        targets = [node.target]
    elif isinstance(node, ast.Call) and node.args and getattr(node.func, "id", "") in ("setattr", "delattr"):
        return _is_theirs(node.args[0], theirs)
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in WRITERS:
        return _is_theirs(node.func.value, theirs)
    flat = [part for target in targets for part in (target.elts if isinstance(target, ast.Tuple) else [target])]
    return any(isinstance(part, (ast.Attribute, ast.Subscript)) and _is_theirs(part.value, theirs) for part in flat)


@pytest.mark.parametrize(
    "statement",
    [
        "torchreid.models.build_model = 1",
        "torchreid.data.register_image_dataset('name', object)",
        "setattr(torchreid.engine, 'Mine', object)",
        "getattr(torchreid.models, '__model_factory')['mine'] = 1",
        "torchreid.data.sampler.AVAI_SAMPLERS.append('mine')",
        "del torchreid.losses.TripletLoss",
        "def f(datamanager):\n    dataset = datamanager.train_loader.dataset\n    dataset.train, x = [], 1",
        "def f(self):\n    self.datamanager.train_loader.worker_init_fn = None",
        "def f(engine):\n    engine.train = None",
        "def f():\n    engine = torchreid.engine.ImageSoftmaxEngine()\n    engine.results = {}",
        "def f():\n    names = torchreid.data.sampler.AVAI_SAMPLERS\n    names += ['mine']\n    names.append('x')",
    ],
)
def test_writes_are_found(statement: str) -> None:
    assert list(writes(statement))


@pytest.mark.parametrize(
    "statement",
    [
        "def f(datamanager):\n    dataset = copy.copy(datamanager.train_loader.dataset)\n    dataset.k_tfm = 1",
        "def f(self, datamanager):\n    self.datamanager = datamanager\n    self.labels = labels(datamanager)",
        "def f(datamanager):\n    found = {}\n    found.update(sources=datamanager.sources)",
        "x = torchreid.models.build_model('osnet_x1_0', 1)",
    ],
)
def test_own_objects_may_be_written(statement: str) -> None:
    assert list(writes(statement)) == []


def test_only_integration_writes_into_torchreid() -> None:
    found = {
        name: list(writes(path.read_text(encoding="utf-8")))
        for name, path in modules().items()
        if folder_of(name) != "integration"
    }
    assert {name: lines for name, lines in found.items() if lines} == {}
    inside = [path for name, path in modules().items() if folder_of(name) == "integration"]
    assert any(list(writes(path.read_text(encoding="utf-8"))) for path in inside)  # damage_training_set
