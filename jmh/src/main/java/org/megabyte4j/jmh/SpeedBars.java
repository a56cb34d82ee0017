package org.megabyte4j.jmh;

import java.awt.BasicStroke;
import java.awt.Color;
import java.awt.Font;
import java.awt.Graphics2D;
import java.awt.RenderingHints;
import java.awt.image.BufferedImage;
import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import javax.imageio.ImageIO;

/**
 * Bars of speed, peers side by side: lying, so that names and figures have room. Cases differ by orders of magnitude,
 * so each has a scale of its own, from 0 to its fastest round. A line over a bar spans its rounds.
 */
final class SpeedBars {
    private static final int SCALE = 2;
    private static final int WIDTH = 940;
    private static final int LEFT = 230;
    private static final int BARS = 430;
    private static final int BAR = 20;
    private static final int STEP = 26;
    private static final int TITLE = 30;
    private static final int GAP = 18;
    private static final int TOP = 66;
    private static final int BOTTOM = 14;
    private static final Color OURS = new Color(0x1f77b4);
    private static final Color PEER = new Color(0xb5bcc4);
    private static final Color RANGE = new Color(0x30343a);
    private static final Color TEXT = new Color(0x202020);
    private static final Color FAINT = new Color(0x6a6a6a);

    private final Graphics2D g;
    private int y = TOP;

    private SpeedBars(Graphics2D g) {
        this.g = g;
    }

    /** @param machine a line about where it was measured */
    static void write(Path png, List<SpeedCase> cases, String machine) throws IOException {
        int bars = cases.stream().mapToInt(c -> c.sides().size()).sum();
        int height = TOP + cases.size() * (TITLE + GAP) + bars * STEP + BOTTOM - GAP;
        BufferedImage image = new BufferedImage(SCALE * WIDTH, SCALE * height, BufferedImage.TYPE_INT_RGB);
        Graphics2D g = image.createGraphics();
        g.scale(SCALE, SCALE);
        g.setRenderingHint(RenderingHints.KEY_TEXT_ANTIALIASING, RenderingHints.VALUE_TEXT_ANTIALIAS_ON);
        g.setRenderingHint(RenderingHints.KEY_ANTIALIASING, RenderingHints.VALUE_ANTIALIAS_ON);
        g.setColor(Color.WHITE);
        g.fillRect(0, 0, WIDTH, height);
        SpeedBars bar = new SpeedBars(g);
        bar.text("Speed against PyTorch", 20, 30, Font.BOLD, 18, TEXT);
        bar.text(machine + ". Bars are medians, lines the range of the rounds; ratios are medians of those within a"
                + " round.", 20, 50, Font.PLAIN, 12, FAINT);
        cases.forEach(bar::draw);
        g.dispose();
        ImageIO.write(image, "png", png.toFile());
    }

    private void draw(SpeedCase work) {
        text(work.title(), 20, y + 18, Font.BOLD, 14, TEXT);
        y += TITLE;
        double most = work.sides().stream().mapToDouble(side -> side.rates()[2]).max().orElseThrow();
        for (SpeedCase.Side side : work.sides()) {
            double[] rates = side.rates();
            text(side.name(), LEFT - 10 - width(side.name(), Font.PLAIN, 13), y + 15, Font.PLAIN, 13, TEXT);
            g.setColor(side.isPeer() ? PEER : OURS);
            g.fillRect(LEFT, y, at(rates[0], most) - LEFT, BAR);
            g.setColor(RANGE);
            g.setStroke(new BasicStroke(1.4f));
            int middle = y + BAR / 2;
            g.drawLine(at(rates[1], most), middle, at(rates[2], most), middle);
            g.drawLine(at(rates[1], most), middle - 4, at(rates[1], most), middle + 4);
            g.drawLine(at(rates[2], most), middle - 4, at(rates[2], most), middle + 4);
            String figure = rates[0] < 1 ? Report.number(1e3 * rates[0]) + " bytes/s"
                    : Report.number(rates[0]) + " KB/s";
            int after = Math.max(at(rates[2], most), at(rates[0], most)) + 10;
            text(figure, after, y + 15, Font.BOLD, 13, TEXT);
            if (side.isPeer()) {
                text(String.format(Locale.ROOT, "megabyte4j is %s times as fast", Report.number(side.ratios()[0])),
                        after + width(figure, Font.BOLD, 13) + 12, y + 15, Font.PLAIN, 12, FAINT);
            }
            y += STEP;
        }
        y += GAP;
    }

    private static int at(double rate, double most) {
        return LEFT + (int) Math.round(BARS * rate / most);
    }

    private void text(String text, int x, int baseline, int style, int size, Color color) {
        g.setFont(new Font(Font.SANS_SERIF, style, size));
        g.setColor(color);
        g.drawString(text, x, baseline);
    }

    private int width(String text, int style, int size) {
        return g.getFontMetrics(new Font(Font.SANS_SERIF, style, size)).stringWidth(text);
    }
}
