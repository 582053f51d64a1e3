# What the checks need beside Rust, got when it is first needed. Sourced by tests/run and deploy/lint,
# which stand in the repository's root.

target=${CARGO_TARGET_DIR:-target}

say() { printf '\033[1m%s\033[0m\n' "$*" >&2; }
die() { printf 'error: %s\n' "$*" >&2; exit 1; }
has() { command -v "$1" >/dev/null 2>&1; }

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"
  elif has sudo; then sudo "$@"
  else die "not root, and there is no sudo. Please run as root: $*"
  fi
}

# Reads the package lists of Debian or Ubuntu when they are older than a day.
update_packages() {
  has apt-get || die "no apt-get here: please install by hand what is missing: Java 17, Maven, Python 3 with venv"
  [ -n "$(find /var/lib/apt/lists -maxdepth 1 -name '*_Packages*' -mtime -1 2>/dev/null)" ] && return
  as_root apt-get update -qq || die "apt-get update failed"
}

install_packages() {
  update_packages
  say "installing $*"
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null \
    || die "apt-get could not install: $*"
}

java_major() { java -version 2>&1 | sed -n 's/.* version "\([0-9]*\).*/\1/p'; }

need_java() {
  local major package
  major=$(has java && java_major || true)
  [ "${major:-0}" -ge 17 ] && return
  update_packages
  for package in openjdk-21-jre-headless openjdk-17-jre-headless openjdk-25-jre-headless; do
    [[ $(apt-cache policy "$package") == *"Candidate: "[0-9]* ]] && break
  done
  install_packages "$package"
  major=$(has java && java_major || true)
  [ "${major:-0}" -ge 17 ] || die "Kafka needs Java 17 or newer, but 'java' is ${major:-missing}"
}

kafka_libs_are_good() {
  local lock=$PWD/tests/support/kafka/libs.sha256
  (cd "$target/kafka/libs" 2>/dev/null && sha256sum --check --quiet "$lock" >/dev/null 2>&1)
}

# The jars of a Kafka broker, exactly those that libs.sha256 lists.
need_kafka() {
  need_java
  kafka_libs_are_good && return
  has mvn || install_packages maven
  say "getting Apache Kafka from Maven Central"
  rm -rf "$target/kafka"
  mkdir -p "$target/kafka"
  mvn -B -q -f tests/support/kafka/pom.xml dependency:copy-dependencies \
    -DoutputDirectory="$(cd "$target/kafka" && pwd)/libs" || die "Maven could not get Apache Kafka"
  kafka_libs_are_good || die "$target/kafka/libs is not what tests/support/kafka/libs.sha256 lists"
}

# What reads deny.toml, at one version; some minutes of compiling when it is first needed.
need_deny() {
  local version=0.20.2
  [ "$("$target/tools/bin/cargo-deny" --version 2>/dev/null)" = "cargo-deny $version" ] && return
  say "getting cargo-deny $version from crates.io"
  CARGO_PROFILE_DEV_DEBUG=0 CARGO_TARGET_DIR=$target/tools/build \
    cargo install cargo-deny --version "$version" --locked --debug --quiet --root "$target/tools" \
    || die "cargo could not install cargo-deny"
  rm -rf "$target/tools/build"
}
