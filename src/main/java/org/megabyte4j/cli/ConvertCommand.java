package org.megabyte4j.cli;

import java.io.PrintWriter;
import java.nio.file.Path;
import java.util.Locale;
import java.util.concurrent.Callable;
import org.megabyte4j.checkpoint.LocalHeads;
import org.megabyte4j.checkpoint.ModelFile;
import org.megabyte4j.checkpoint.ModelFiles;
import org.megabyte4j.checkpoint.WeightFormat;
import org.megabyte4j.tensor.DType;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/** {@code megabyte4j convert}: between safetensors and PyTorch's format, from the reference's names to ours. */
@Command(name = "convert", description = {
    "Converts a model between model.safetensors and pytorch_model.bin.",
    "Reads a folder with config.json and either of them, also one of the reference's Hugging Face wrapper, and writes"
            + " a folder with a native config.json."})
public final class ConvertCommand implements Callable<Integer> {
    /** Element types that weights are written in. */
    enum Precision {
        F32(DType.F32), BF16(DType.BF16), F16(DType.F16);

        private final DType dtype;

        Precision(DType dtype) {
            this.dtype = dtype;
        }
    }

    @Parameters(index = "0", paramLabel = "SOURCE", description = "A model's folder, or its file of weights.")
    private Path source;

    @Parameters(index = "1", paramLabel = "TARGET", description = "The folder to write.")
    private Path target;

    @Option(names = "--to", paramLabel = "FORMAT", defaultValue = "SAFETENSORS",
            description = "${COMPLETION-CANDIDATES}; default ${DEFAULT-VALUE}.")
    private WeightFormat format;

    @Option(names = "--dtype", paramLabel = "TYPE",
            description = "${COMPLETION-CANDIDATES}; default is each tensor's own.")
    private Precision precision;

    @Option(names = "--hf-local-heads", paramLabel = "WHOSE", defaultValue = "AUTO", description = {
        "${COMPLETION-CANDIDATES}; default ${DEFAULT-VALUE}. The reference's Hugging Face wrapper trains models with as"
                + " many local heads as local layers, whatever l_nheads of their config.json says: layers takes"
                + " l_nlayers, file takes l_nheads, auto takes what the shapes of the weights say."})
    private LocalHeads localHeads;

    @Option(names = "--force", description = "Replace a model that is in TARGET.")
    private boolean force;

    @Spec
    private CommandSpec spec;

    @Override
    public Integer call() {
        PrintWriter out = spec.commandLine().getOut();
        PrintWriter err = spec.commandLine().getErr();
        try (ModelFile model = ModelFile.open(source, localHeads, notice -> err.println("Note: " + notice + "."))) {
            Path written = ModelFiles.write(target, model, format, precision == null ? null : precision.dtype, force);
            out.printf(Locale.ROOT, "Wrote %s: %s, %,d parameters.%n", written, model.config().variant(),
                    model.parameterCount());
        }
        return 0;
    }
}
