"""The sandbox: Jinja2's immutable one, made narrower.

A template is trusted with nothing: it sees plain JSON values, calls nothing but `range`, and reaches no attribute of
any Python object. Which nodes, filters and tests it may use is a list of what is allowed, so that what a later Jinja2
adds is not allowed. How much it may do is bounded: in the length of what it prints, in the turns of its loops (weighed
by what stands in them), in the size of one expression and of what it keeps.
"""

from collections.abc import Mapping, MutableMapping, Sequence
from typing import Any, Final

from jinja2 import ChainableUndefined, Template, TemplateSyntaxError, meta, nodes
from jinja2.runtime import Context, LoopContext, Undefined
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.tests import TESTS
from jinja2.utils import pass_context

from templates.filters import FILTERS, TEXT_CHARACTERS_MAX, BrokenRule, printed
from templates.plain import Part, fill_in, parts_of

SOURCE_CHARACTERS_MAX: Final = 64 * 1024
EXPRESSION_NODES_MAX: Final = 100
NODES_MAX: Final = 5_000
LOOP_DEPTH_MAX: Final = 3
LOOP_WORK_MAX: Final = 50_000
"""Turns of all loops of one rendering, each weighed by the number of nodes in its body."""
RANGE_MAX: Final = 1_000
NUMBER_MAX: Final = 10**18

_TESTS: Final = (
    "defined",
    "undefined",
    "none",
    "boolean",
    "true",
    "false",
    "string",
    "number",
    "integer",
    "float",
    "sequence",
    "mapping",
    "even",
    "odd",
    "divisibleby",
    "eq",
    "==",
    "equalto",
    "ne",
    "!=",
    "gt",
    ">",
    "greaterthan",
    "ge",
    ">=",
    "lt",
    "<",
    "lessthan",
    "le",
    "<=",
    "in",
)
_LOOP_FIELDS: Final = frozenset({"index", "index0", "revindex", "revindex0", "first", "last", "length"})
_JINJAS_OWN: Final = frozenset({"self", "super", "caller", "varargs", "kwargs"})
_STATEMENTS: Final = (nodes.Template, nodes.Output, nodes.TemplateData, nodes.For, nodes.If, nodes.Assign)
_EXPRESSIONS: Final = (
    *(nodes.Name, nodes.Const, nodes.List, nodes.Tuple, nodes.Dict, nodes.Pair, nodes.Keyword),
    *(nodes.Getattr, nodes.Getitem, nodes.Slice, nodes.Filter, nodes.Test, nodes.Call),
    *(nodes.CondExpr, nodes.Compare, nodes.Operand, nodes.And, nodes.Or, nodes.Not, nodes.Concat),
    *(nodes.Add, nodes.Sub, nodes.Mul, nodes.Div, nodes.FloorDiv, nodes.Mod, nodes.Neg, nodes.Pos),
)
_ALLOWED: Final = frozenset({*_STATEMENTS, *_EXPRESSIONS})
_COUNTED: Final = "_counted"
_KEPT: Final = "_kept"
_WORK: Final = "_work"


class _Work:
    """What one rendering may still do in loops."""

    __slots__ = ("left",)

    def __init__(self) -> None:
        self.left = LOOP_WORK_MAX


class Sandbox(ImmutableSandboxedEnvironment):
    """Compiles and renders one text. An attribute that a contact does not have renders as nothing, at any depth."""

    intercepted_binops = frozenset({"+", "-", "*", "/", "//", "%"})

    def __init__(self, *, escape_html: bool) -> None:
        super().__init__(
            autoescape=escape_html,
            undefined=ChainableUndefined,
            finalize=printed,
            keep_trailing_newline=True,
            cache_size=0,
        )
        self.globals = {"range": _range}
        self.filters = {**FILTERS, _COUNTED: _counted, _KEPT: _kept}
        self.tests = {name: TESTS[name] for name in _TESTS}

    def make_globals(self, d: MutableMapping[str, Any] | None) -> MutableMapping[str, Any]:
        """The same few for every template: Jinja2's chain of maps costs more, per message, than a short text."""
        return self.globals

    def compile_text(self, source: str) -> Template | Sequence[Part]:
        """Check and compile; BrokenRule where a rule is broken."""
        if len(source) > SOURCE_CHARACTERS_MAX:
            raise BrokenRule(f"must have at most {SOURCE_CHARACTERS_MAX} characters")
        try:
            tree = self.parse(source)
            _Inspection().inspect(tree)
            if parts := parts_of(tree):  # of the contact alone; asking for undeclared names costs most of a compilation
                return parts
            if meta.find_undeclared_variables(tree) - {"contact", "range"}:
                raise BrokenRule("knows nothing but contact: write {{ contact.first_name }}")
            return self.from_string(_bounded(tree, self))
        except TemplateSyntaxError as error:
            raise BrokenRule(f"is not a valid template (line {error.lineno})") from None
        except BrokenRule:
            raise
        except Exception:
            # A nesting too deep, a number too long: whatever the parser or Python's compiler stumbles over.
            raise BrokenRule("is not a valid template") from None

    def render_text(self, template: Template | Sequence[Part], contact: Mapping[str, Any]) -> str:
        """Render; BrokenRule where it cannot be done for this contact."""
        if not isinstance(template, Template):
            return fill_in(template, contact, escape_html=bool(self.autoescape))
        chunks: list[str] = []
        left = TEXT_CHARACTERS_MAX
        try:
            for chunk in template.root_render_func(template.new_context({"contact": contact, _WORK: _Work()})):
                left -= len(chunk)
                if left < 0:
                    raise BrokenRule(f"becomes longer than {TEXT_CHARACTERS_MAX} characters")
                chunks.append(chunk)
        except BrokenRule:
            raise
        except Exception:
            raise BrokenRule("cannot be rendered for this contact") from None
        return "".join(chunks)

    def getattr(self, obj: Any, attribute: str) -> Any:
        """A member of an object of JSON, or a count of the loop; of nothing else is there any attribute."""
        if isinstance(obj, LoopContext):
            if attribute in _LOOP_FIELDS:
                return getattr(obj, attribute)
            raise BrokenRule("asks the loop for what it does not have")
        return self.getitem(obj, attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        """A member of an object or an element of a list; nothing where there is none."""
        if type(obj) is dict and isinstance(argument, str) and argument in obj:  # what most expressions ask for
            return obj[argument]
        if isinstance(obj, Undefined):
            return obj
        try:
            if isinstance(obj, Mapping) and isinstance(argument, str):
                return obj[argument]
            if isinstance(obj, list | tuple | str) and isinstance(argument, int):
                return obj[argument]
        except LookupError:
            pass
        return self.undefined(name=str(argument)[:64])

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        """None is."""
        return False

    def is_safe_callable(self, obj: Any) -> bool:
        """One is."""
        return obj is _range

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """Arithmetic on numbers that stay small; texts may be joined, and no longer than a message."""
        if isinstance(left, int | float) and isinstance(right, int | float):
            if abs(left) > NUMBER_MAX or abs(right) > NUMBER_MAX:
                raise BrokenRule("reckons with numbers that are too large")
            return self.binop_table[operator](left, right)
        if operator == "+" and isinstance(left, str) and isinstance(right, str):
            if len(left) + len(right) > TEXT_CHARACTERS_MAX:
                raise BrokenRule(f"becomes longer than {TEXT_CHARACTERS_MAX} characters")
            return left + right
        raise BrokenRule("reckons with what is no number")


class _Inspection:
    """Walks over a tree and raises BrokenRule at what is not allowed."""

    def __init__(self) -> None:
        self._count = 0

    def inspect(self, node: nodes.Node, *, depth: int = 0, in_expression: bool = False) -> int:
        """Returns the number of nodes below and at this one."""
        self._count += 1
        if type(node) not in _ALLOWED:
            raise BrokenRule(f"uses what is not allowed here (line {node.lineno})")
        if self._count > NODES_MAX:
            raise BrokenRule("is too long")
        self._look_closely(node, depth)
        expression = in_expression or isinstance(node, _EXPRESSIONS)
        below = depth + isinstance(node, nodes.For)
        size = 1
        for child in node.iter_child_nodes():
            size += self.inspect(child, depth=below, in_expression=expression)
        if expression and size > EXPRESSION_NODES_MAX:
            raise BrokenRule(f"has too long an expression (line {node.lineno})")
        return size

    def _look_closely(self, node: nodes.Node, depth: int) -> None:
        broken = False
        match node:
            case nodes.For():
                broken = node.recursive or depth >= LOOP_DEPTH_MAX
            case nodes.Call():
                broken = not (isinstance(node.node, nodes.Name) and node.node.name == "range") or bool(node.kwargs)
                broken = broken or node.dyn_args is not None or node.dyn_kwargs is not None
            case nodes.Filter() | nodes.Test():
                known = FILTERS if isinstance(node, nodes.Filter) else _TESTS
                broken = node.name not in known or node.dyn_args is not None or node.dyn_kwargs is not None
            case nodes.Assign():
                broken = not isinstance(node.target, nodes.Name)
            case nodes.Getattr():
                broken = node.attr.startswith("_")
            case nodes.Name():
                broken = node.name.startswith("_") or node.name in _JINJAS_OWN
                broken = broken or (node.ctx == "store" and node.name in ("contact", "range"))
        if broken:
            raise BrokenRule(f"uses what is not allowed here (line {node.lineno})")


def _bounded(tree: nodes.Template, environment: Sandbox) -> nodes.Template:
    """Let every loop ask whether it may run, and every `set` whether it may keep what it has."""
    for loop in tree.find_all(nodes.For):
        weight = nodes.Const(1 + sum(1 for part in loop.body for _ in part.find_all(nodes.Node)), lineno=loop.lineno)
        loop.iter = nodes.Filter(loop.iter, _COUNTED, [weight], [], None, None, lineno=loop.lineno)
    for assignment in tree.find_all(nodes.Assign):
        assignment.node = nodes.Filter(assignment.node, _KEPT, [], [], None, None, lineno=assignment.lineno)
    tree.set_environment(environment)
    return tree


@pass_context
def _counted(context: Context, value: Any, weight: int) -> Any:
    """What a loop runs over, paid for in advance."""
    if value is None or isinstance(value, Undefined):
        return ()
    if not isinstance(value, list | tuple | str | Mapping | range):
        raise BrokenRule("runs over what is no list")
    work: Any = context.resolve(_WORK)
    work.left -= len(value) * weight
    if work.left < 0:
        raise BrokenRule("has loops that run too long")
    return value


@pass_context
def _kept(context: Context, value: Any) -> Any:
    """What `set` keeps: texts of a message's length and numbers; lists of lists of lists could grow without end."""
    if value is None or isinstance(value, Undefined | bool | int | float):
        return value
    if isinstance(value, str) and len(value) <= TEXT_CHARACTERS_MAX:
        return value
    raise BrokenRule("keeps something else than a short text or a number")


def _range(*bounds: int) -> range:
    try:
        numbers = range(*bounds)
        allowed = len(numbers) <= RANGE_MAX
    except (TypeError, ValueError, OverflowError):
        allowed = False
    if not allowed:
        raise BrokenRule(f"counts further than {RANGE_MAX}")
    return numbers
