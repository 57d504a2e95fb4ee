# make demo [MAP=map.mrc] [MASK=mask.mrc] [CLAIMED=3.2]   install if needed, validate a map in a real Scipion project
# make test [ARGS="-k name"]                              install if needed, run the tests
# make install                                            Scipion and CryoResDL into ./.scipion, nothing elsewhere
# make lint, make docs, make clean, make distclean
# make wheel-test                                         the wheel in a fresh Scipion elsewhere, and scipion3 tests there
# make bench                                              speed against the last accepted figures (about 3 minutes, idle)
# VOXEL_SIZE=1.06 (A) corrects a map whose header is wrong or empty.
# Settings: PYTHON=python3.11 (3.10 to 3.12), CRYORESDL_GPU=1 (TensorFlow with NVIDIA's libraries).

SCIPION := .scipion
BIN := $(SCIPION)/.scipion3/bin

# Through the environment, so that any file name reaches the program as it is.
export MAP MASK CLAIMED VOXEL_SIZE PYTHON CRYORESDL_GPU

.PHONY: demo test install lint docs wheel-test bench clean distclean

demo:
	@tools/install.sh
	@$(SCIPION)/scipion3 python tools/demo.py

test:
	@tools/install.sh test
	$(BIN)/python -m pytest $(ARGS)

install:
	@tools/install.sh
	@echo "Ready: $(SCIPION)/scipion3 opens Scipion, $(SCIPION)/cryoresdl --help lists the commands of the engine."

lint:
	@tools/install.sh lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-cache
	$(BIN)/vermin --quiet --no-tips --target=3.8- --violations $$($(BIN)/python tools/gui_side.py)
	$(BIN)/mypy cryoresdl/models

docs:
	@tools/install.sh docs
	$(BIN)/python -m sphinx -W --keep-going -b html docs docs/_build/html

wheel-test:
	tools/fresh_scipion.sh

bench:
	@tools/install.sh test
	$(BIN)/python benchmarks/regression.py $(ARGS)

clean:
	rm -rf build dist *.egg-info .pytest_cache .ruff_cache .mypy_cache .hypothesis .coverage docs/_build
	find . -name __pycache__ -not -path './.scipion/*' -prune -exec rm -rf {} +
	@# The projects that a user made in this Scipion are not ours to delete: distclean does.
	@if [ -d $(SCIPION) ]; then find $(SCIPION) -mindepth 1 -maxdepth 1 -not -name data -exec rm -rf {} +; \
	    rmdir $(SCIPION)/data $(SCIPION) 2>/dev/null || echo "Kept your Scipion projects in $(SCIPION)/data; make distclean removes them too."; fi

distclean: clean
	rm -rf $(SCIPION)
