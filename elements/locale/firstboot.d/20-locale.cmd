@echo off
rem Gives the settings to Windows, for SYSTEM, the logon screen and all new users; they count after a restart.
setlocal
for %%f in ("%DIB_FIRSTBOOT%files\locale*.xml") do (
    echo %%f
    rem control.exe would return before the work is done
    start "" /wait "%SystemRoot%\System32\rundll32.exe" shell32.dll,Control_RunDLL intl.cpl,,/f:"%%f"
)
exit /b 3010
