package org.megabyte4j.train;

import java.awt.BasicStroke;
import java.awt.Color;
import java.awt.Font;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import org.knowm.xchart.BitmapEncoder;
import org.knowm.xchart.XYChart;
import org.knowm.xchart.XYChartBuilder;
import org.knowm.xchart.XYSeries;
import org.knowm.xchart.style.Styler;
import org.knowm.xchart.style.markers.SeriesMarkers;

/** {@code loss.png}: bits per byte over steps, of training and of validation. */
final class LossPlot {
    private static final int POINTS = 800;
    private static final Color TRAIN = new Color(0x1f77b4);
    private static final Color VALID = new Color(0xd62728);
    private static final Color GRID = new Color(0xe4e4e4);

    private final LossCurve train = new LossCurve(POINTS);
    private final LossCurve valid = new LossCurve(POINTS);

    void add(Metric metric) {
        switch (metric) {
            case Metric.Step step -> train.add(step.step(), step.bitsPerByte());
            case Metric.Validation validation -> valid.add(validation.step(), validation.bitsPerByte());
        }
    }

    /**
     * Draws what was added so far; nothing if that is nothing. The file is replaced as a whole.
     *
     * @throws IOException if it cannot be written
     */
    void write(Path path) throws IOException {
        if (train.points() == 0) {
            return;
        }
        var png = new ByteArrayOutputStream();
        BitmapEncoder.saveBitmap(chart(), png, BitmapEncoder.BitmapFormat.PNG);
        Path aside = path.resolveSibling("." + path.getFileName() + ".tmp");
        Files.write(aside, png.toByteArray());
        Files.move(aside, path, StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
    }

    private XYChart chart() {
        XYChart chart = new XYChartBuilder().width(960).height(600).title("Loss").xAxisTitle("step")
                .yAxisTitle("bits per byte").build();
        var style = chart.getStyler();
        style.setChartBackgroundColor(Color.WHITE);
        style.setPlotBorderVisible(false);
        style.setPlotGridLinesColor(GRID);
        style.setPlotGridLinesStroke(new BasicStroke(1));
        style.setLegendPosition(Styler.LegendPosition.InsideNE);
        style.setLegendBorderColor(GRID);
        style.setChartTitleFont(new Font(Font.SANS_SERIF, Font.BOLD, 18));
        style.setAxisTitleFont(new Font(Font.SANS_SERIF, Font.PLAIN, 15));
        style.setAxisTickLabelsFont(new Font(Font.SANS_SERIF, Font.PLAIN, 13));
        style.setLegendFont(new Font(Font.SANS_SERIF, Font.PLAIN, 14));
        style.setXAxisMaxLabelCount(11);
        style.setXAxisDecimalPattern("#,##0");
        style.setYAxisDecimalPattern("0.0#");
        style.setChartPadding(16);
        XYSeries training = chart.addSeries(label("training", train), train.meanSteps(), train.meanValues());
        training.setMarker(SeriesMarkers.NONE).setLineColor(TRAIN).setLineWidth(1.6f);
        if (valid.points() > 0) {
            XYSeries validation = chart.addSeries(label("validation", valid), valid.meanSteps(), valid.meanValues());
            validation.setMarker(SeriesMarkers.CIRCLE).setMarkerColor(VALID).setLineColor(VALID).setLineWidth(2.2f);
        }
        return chart;
    }

    private static String label(String name, LossCurve curve) {
        double[] values = curve.meanValues();
        return String.format(java.util.Locale.ROOT, "%s, last %.3f", name, values[values.length - 1]);
    }
}
