package org.megabyte4j.examples;

import java.nio.file.Path;
import org.megabyte4j.backend.Backend;
import org.megabyte4j.backend.cpu.CpuBackend;
import org.megabyte4j.checkpoint.ModelFiles;
import org.megabyte4j.generate.GenerationRequest;
import org.megabyte4j.generate.Generator;
import org.megabyte4j.generate.SamplingOptions;
import org.megabyte4j.model.Parameters;

public final class GenerateText {
    public static void main(String[] args) {
        Path model = Path.of(args[0]);                  // a run folder, or config.json with weights beside it
        var request = GenerationRequest.of("Today is", 100)
                .withSampling(SamplingOptions.random(42).withTemperature(0.8).withBytesOnly(true));

        try (Backend backend = CpuBackend.open();
                Parameters parameters = ModelFiles.load(model, backend, System.err::println);
                Generator generator = new Generator(backend, parameters, 1, request.length())) {
            System.out.println("Today is" + generator.generate(request).getFirst().text());
        }
    }
}
