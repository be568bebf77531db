"""`dvc commit --force` of many stages at once: `python -m dmtl.launch.commit STAGE...` in a project's folder.

DVC's own command reads and rewrites all of dvc.lock for each stage that it is given, which for a grid's evaluations takes longer
than to evaluate. Here the same is done with one writing.
"""

import sys
from collections.abc import Sequence

from dvc.exceptions import DvcException
from dvc.repo import Repo, lock_repo


def commit(names: Sequence[str]) -> None:
    """Record the outputs and dependencies of stages of this folder's dvc.yaml as they are now.

    Args:
        names: of the stages, each after those that it depends on.

    Raises:
        DvcException: an output is missing, another process of DVC has its lock, or the cache cannot be written.
    """
    with Repo() as repo, lock_repo(repo), repo.scm_context(quiet=True):
        stages = [repo.stage.load_one("dvc.yaml", name) for name in names]
        for stage in stages:
            stage.save()
            stage.commit()
        stages[0].dvcfile.dump_stages(stages, update_pipeline=False)


def main() -> None:
    try:
        commit(sys.argv[1:])
    except DvcException as error:
        sys.exit(" ".join(str(error).split()))


if __name__ == "__main__":
    main()
