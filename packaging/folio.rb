# Homebrew's formula for folio. `cargo xtask release --site URL` fills it in: what stands between @, and of the blocks
# only those whose archive was built.
class Folio < Formula
  desc "Runs language and embedding models on your own documents"
  homepage "@SITE@"
  version "@VERSION@"
  license any_of: ["MIT", "Apache-2.0"]

  #if aarch64-apple-darwin
  on_macos do
    on_arm do
      url "@URL@"
      sha256 "@SHA256@"
    end
  end
  #end
  #if x86_64-unknown-linux-gnu
  on_linux do
    on_intel do
      url "@URL@"
      sha256 "@SHA256@"
    end
  end
  #end
  #if aarch64-unknown-linux-gnu
  on_linux do
    on_arm do
      url "@URL@"
      sha256 "@SHA256@"
    end
  end
  #end

  # The program finds the library over MLX as ../lib/folio/mlx from where it really lies.
  def install
    bin.install "folio"
    (lib/"folio").install "mlx" if File.directory?("mlx")
    bash_completion.install "completions/folio.bash" => "folio"
    zsh_completion.install "completions/_folio"
    fish_completion.install "completions/folio.fish"
    pkgshare.install "examples"
    doc.install Dir["docs/*"], "README.md", "CHANGELOG.md"
    prefix.install Dir["LICENSE-*"], "THIRD-PARTY.txt"
  end

  test do
    answer = shell_output("#{bin}/folio run #{pkgshare}/examples/clerk " \
                          "--file #{pkgshare}/examples/lease.pdf 'When does the lease end?'")
    assert_match "2030", answer
  end
end
