# The project's commands. `just` lists them; `just --show RECIPE` shows what one runs.
# Install: cargo install just, pip install rust-just, or apt-get install just.

set positional-arguments

# List the recipes
default:
    @just --list

# Build everything, tests and benches included
build:
    cargo build --workspace --all-targets

# Run the whole system on this machine, for example: just run --port 8800
run *options:
    cargo run -- "$@"

# Run the system with last week's events of an invented company
demo *options:
    cargo run -- --demo --data-dir .annals/demo "$@"

# Run all tests
test:
    cargo test --workspace

# Run the tests of one crate whose names contain FILTER and show what they print
test-one crate filter="":
    cargo test --package "$1" -- "$2" --nocapture

# Accept new inline snapshots in one crate: look at the diff afterwards
snapshots crate:
    INSTA_UPDATE=always cargo test --package "$1"

# Format all code
fmt:
    cargo fmt --all
    cargo fmt --manifest-path fuzz/Cargo.toml

# Lint all code, warnings are errors
lint:
    cargo clippy --workspace --all-targets -- -D warnings

# Regenerate the documents that are generated from the code
docs:
    ANNALS_WRITE_DOCS=1 cargo test --package annals-tests --test simulations -- openapi::
    ANNALS_WRITE_DOCS=1 cargo test --package annals-tests --test end_to_end -- failures::

# Fuzz every target for a short time, or: just fuzz SECONDS TARGET…
fuzz *arguments:
    bash .ci/fuzz "$@"

# Test the organisation page in a browser, or only the scenes whose names match PATTERN
browser pattern="":
    bash .ci/browser "$1"

# Everything that every change must pass
ci:
    bash .ci/run

# Some steps of CI, for example: just ci-step format clippy
ci-step +steps:
    bash .ci/run "$@"

# Check the template, deploy it to an emulator of AWS and use it
deploy-check:
    bash .ci/run template deploy

# Build and deploy to your AWS account
deploy *options:
    sam build
    sam deploy "$@"

# Build a release that is deployed without Rust, below target/release
release:
    bash .ci/run release

# What every release must pass in addition to CI
release-check:
    bash .ci/run supply-chain cold-start
