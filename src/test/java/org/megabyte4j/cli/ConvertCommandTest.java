package org.megabyte4j.cli;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.net.URISyntaxException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Locale;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.megabyte4j.checkpoint.TensorFile;
import org.megabyte4j.tensor.DType;
import picocli.CommandLine;

class ConvertCommandTest {
    @TempDir
    Path folder;

    private final StringWriter out = new StringWriter();
    private final StringWriter err = new StringWriter();

    private static Path wrapper() {
        try {
            return Path.of(ConvertCommandTest.class.getResource("/pytorch/wrapper").toURI());
        } catch (URISyntaxException e) {
            throw new IllegalStateException(e);
        }
    }

    private int convert(Object... arguments) {
        String[] texts = new String[arguments.length];
        for (int i = 0; i < texts.length; i++) {
            texts[i] = arguments[i].toString();
        }
        return new CommandLine(new ConvertCommand()).setCaseInsensitiveEnumValuesAllowed(true)
                .setOut(new PrintWriter(out, true)).setErr(new PrintWriter(err, true))
                .setExecutionExceptionHandler((e, line, result) -> {
                    line.getErr().println(e.getMessage());
                    return 1;
                }).execute(texts);
    }

    @Test
    void theWayThroughBothFormatsIsWithoutLoss() {
        Path first = folder.resolve("first");
        Path second = folder.resolve("second");
        Path third = folder.resolve("third");
        assertThat(convert(wrapper(), first, "--hf-local-heads", "layers")).as(err.toString()).isZero();
        assertThat(out.toString()).isEqualTo("Wrote " + first.resolve("model.safetensors")
                + ": megabyte, 2,684 parameters." + System.lineSeparator());
        assertThat(convert(first, second, "--to", "pytorch")).as(err.toString()).isZero();
        assertThat(convert(second.resolve("pytorch_model.bin"), third, "--to", "safetensors")).isZero();
        assertThat(third.resolve("model.safetensors")).hasSameBinaryContentAs(first.resolve("model.safetensors"));
        assertThat(third.resolve("config.json")).hasSameBinaryContentAs(first.resolve("config.json"));
        assertThat(err.toString()).isEmpty();
        try (TensorFile from = TensorFile.open(wrapper().resolve("pytorch_model.bin"));
             TensorFile to = TensorFile.open(third.resolve("model.safetensors"))) {
            assertThat(from.names()).hasSameSizeAs(to.names());
            for (String name : to.names()) {
                assertThat(to.floats(name)).isEqualTo(from.floats("inner_model." + name));
            }
        }
    }

    @Test
    void tellsAboutTheWrappersLocalHeads() {
        assertThat(convert(wrapper(), folder.resolve("x"))).isZero();
        assertThat(err.toString()).startsWith("Note: ").contains("l_nheads is 4, l_nlayers 2").contains("read with 2.");
        assertThat(convert(wrapper(), folder.resolve("y"), "--hf-local-heads", "file")).isEqualTo(1);
        assertThat(err.toString()).contains("use --hf-local-heads layers");
        assertThat(folder.resolve("y")).doesNotExist();
    }

    @Test
    void roundsToAnotherTypeOnRequest() {
        for (DType dtype : new DType[] {DType.BF16, DType.F16}) {
            Path target = folder.resolve(dtype.name());
            assertThat(convert(wrapper(), target, "--dtype", dtype.name().toLowerCase(Locale.ROOT))).isZero();
            try (TensorFile from = TensorFile.open(wrapper().resolve("pytorch_model.bin"));
                 TensorFile to = TensorFile.open(target.resolve("model.safetensors"))) {
                float unit = dtype == DType.BF16 ? 1f / 256 : 0;   // the fixture's weights are exact in F16
                for (String name : to.names()) {
                    assertThat(to.tensor(name).dtype()).isEqualTo(dtype);
                    float[] exact = from.floats("inner_model." + name);
                    float[] rounded = to.floats(name);
                    for (int i = 0; i < exact.length; i++) {
                        assertThat(Math.abs(rounded[i] - exact[i])).isLessThanOrEqualTo(unit * Math.abs(exact[i]));
                    }
                }
            }
        }
    }

    @Test
    void neverReplacesAModelUnlessForced() throws IOException {
        Path config = Files.writeString(folder.resolve("config.json"), "precious");
        assertThat(convert(wrapper(), folder)).isEqualTo(1);
        assertThat(err.toString()).contains(folder + " already holds config.json; add --force to replace it, or choose"
                + " another folder");
        assertThat(config).hasContent("precious");
        assertThat(convert(wrapper(), folder, "--force")).isZero();
        assertThat(folder.resolve("model.safetensors")).exists();
        assertThat(convert(wrapper(), config)).isEqualTo(1);
        assertThat(err.toString()).contains(config + " is a file; name a folder to write the model into");
    }
}
