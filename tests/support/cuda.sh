# CUDA's compiler and libraries, got from PyPI where there are none. Sourced by tests/run, after tools.sh.
#
# NVIDIA's wheels hold all but the driver's library, libcuda, which comes with a GPU. Where there is none,
# an empty one lets the program be linked; it can't be started then.

# What the kernels are compiled for where no GPU says it: NVIDIA's H100.
cuda_compute_cap=90

has_gpu() { has nvidia-smi && nvidia-smi -L 2>/dev/null | grep -q '^GPU'; }

need_cuda() {
  has_gpu || export CUDA_COMPUTE_CAP=${CUDA_COMPUTE_CAP:-$cuda_compute_cap}
  has nvcc && return
  local venv home lib driver
  venv=$(mkdir -p "$target" && cd "$target" && pwd)/cuda-toolkit
  if [ ! -e "$venv/whole" ]; then
    python3 -c 'import ensurepip' 2>/dev/null || install_packages python3-venv
    say "getting CUDA's compiler and libraries from PyPI, 1.1 GB"
    rm -rf "$venv"
    python3 -m venv "$venv"
    "$venv/bin/pip" install -q 'cuda-toolkit[nvcc,cccl,cudart,crt,nvvm,curand,cublas,nvrtc]==13.0.*' \
      || die "pip could not get CUDA"
    touch "$venv/whole"
  fi
  home=$(echo "$venv"/lib/python3*/site-packages/nvidia/cu13)
  [ -x "$home/bin/nvcc" ] || die "there is no nvcc in $home"
  # The linker looks for names without a version.
  for lib in "$home"/lib/lib*.so.*; do ln -sf "$(basename "$lib")" "${lib%%.so.*}.so"; done
  driver=$(ldconfig -p | sed -n 's/.*libcuda\.so\.1 .*x86-64.* => //p' | head -1)
  if [ "$driver" ]; then
    ln -sf "$driver" "$home/lib/libcuda.so"
  elif [ ! -e "$home/lib/libcuda.so" ]; then
    has cc || install_packages gcc libc6-dev
    cc -shared -x c /dev/null -Wl,-soname,libcuda.so.1 -o "$home/lib/libcuda.so"
  fi
  export CUDA_HOME=$home PATH=$home/bin:$PATH
  export LD_LIBRARY_PATH=$home/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
}
