"""The worker's way in, run as ``python -I .../isohub_worker/__main__.py`` with ``serve FD``,
``describe REPO_DIR OUT_JSON [PRELUDE]`` or ``smoke REPO_DIR CHECK [PRELUDE]``.

The package is loaded by its location, so that nothing that lies beside it on the host's side gets on ``sys.path``.
"""

import importlib.util
import os
import sys


def load_package() -> None:
    folder = os.path.dirname(os.path.abspath(__file__))
    location = os.path.join(folder, "__init__.py")
    spec = importlib.util.spec_from_file_location(
        "isohub_worker", location, submodule_search_locations=[folder]
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["isohub_worker"] = module
    spec.loader.exec_module(module)


if __name__ == "__main__":
    load_package()
    from isohub_worker.pins import hold

    hold()
    command, *arguments = sys.argv[1:]
    # Repositories look at sys.argv too, and find an ordinary script's there.
    del sys.argv[1:]
    if command == "describe":
        from isohub_worker.describe import main as describe

        describe(*arguments)
    elif command == "smoke":
        from isohub_worker.smoke import main as smoke

        smoke(*arguments)
    else:
        from isohub_worker.parent import introduce

        introduce(int(arguments[0]))
        from isohub_worker.loop import main as serve

        serve(*arguments)
