package org.megabyte4j.examples;

import java.util.SplittableRandom;
import org.megabyte4j.backend.Backend;
import org.megabyte4j.backend.cpu.CpuBackend;
import org.megabyte4j.model.MegabyteConfig;
import org.megabyte4j.model.Parameters;
import org.megabyte4j.model.Variant;
import org.megabyte4j.train.TrainOptions;
import org.megabyte4j.train.Trainer;

public final class TrainStep {
    public static void main(String[] args) {
        int batch = 2;
        int length = 1024;                              // T, bytes in a sequence
        var config = new MegabyteConfig(Variant.MEGABYTE,
                512,                                    // V, ids: 256 bytes, the rest for special ones
                4,                                      // P, bytes in a patch
                64,                                     // D_G, so the global model is P * D_G = 256 wide
                128,                                    // D_L, width of the local model
                length,                                 // T_MAX, the longest sequence
                4, 8,                                   // layers and heads of the global model
                2, 2,                                   // layers and heads of the local model
                0.02,                                   // standard deviation of fresh weights
                257, 258);                              // pad_id and eos_id
        int[] ids = new SplittableRandom(1).ints(batch * length, 0, 256).toArray();

        try (Backend backend = CpuBackend.open();
                Parameters parameters = Parameters.initialized(config, backend, 1);
                Trainer trainer = Trainer.create(parameters, TrainOptions.of(batch, length, 1e-3), backend)) {
            trainer.step(ids);                          // forward, backward, clipping, AdamW
            System.out.println(trainer.loss());         // nats per byte
        }
    }
}
