import compilation
import jax
from jax._src import compiler


def test_programs_are_compiled_by_the_quick_generator(monkeypatch):
    seen, make = [], compiler.get_compile_options

    def spy(*arguments, **others):
        seen.append(make(*arguments, **others).env_option_overrides)
        return make(*arguments, **others)

    monkeypatch.setattr(compiler, "get_compile_options", spy)
    for optimised in (False, True):
        jax.config.update("jax_disable_most_optimizations", not optimised)
        jax.jit(lambda x: x + 1).lower(1.0).compile()
    assert [dict(options) for options in seen] == [compilation.quick_options(), {}]
