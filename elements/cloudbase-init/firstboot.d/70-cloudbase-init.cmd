@echo off
rem Installs cloudbase-init where its installer lies ready, keeps our configuration, and starts it for good.
setlocal
set "SYSTEM32=%SystemRoot%\System32"
set "BASE=%ProgramFiles%\Cloudbase Solutions\Cloudbase-Init"
set "MSI=%DIB_FIRSTBOOT%files\CloudbaseInitSetup.msi"
set "KEPT=%DIB_FIRSTBOOT%files\cloudbase-init"
if not exist "%MSI%" goto portable

rem the installer writes these files too; on another try they are its own
if exist "%KEPT%" goto install
mkdir "%KEPT%"
copy /y "%BASE%\conf\*.conf" "%KEPT%" >nul
:install
set "PROPERTIES=LOGGINGSERIALPORTNAME=%DIB_CLOUDBASE_INIT_SERIAL% RUN_SERVICE_AS_LOCAL_SYSTEM=1"
"%SYSTEM32%\msiexec.exe" /i "%MSI%" /qn /norestart /l*v "%DIB_FIRSTBOOT%cloudbase-init-install.log" %PROPERTIES%
set "CODE=%ERRORLEVEL%"
if not "%CODE%"=="0" if not "%CODE%"=="3010" exit /b %CODE%
"%SYSTEM32%\sc.exe" stop cloudbase-init >nul
copy /y "%KEPT%\*.conf" "%BASE%\conf" >nul
if not "%ERRORLEVEL%"=="0" exit /b 1
del "%MSI%"
goto start

:portable
set "CODE=0"
if not exist "%BASE%\Python\python.exe" exit /b 1
if exist "%BASE%\Python\Scripts\pywin32_postinstall.py" "%BASE%\Python\python.exe" "%BASE%\Python\Scripts\pywin32_postinstall.py" -silent -install

:start
rem the machine that an image is installed on is not the one it is for: the last script starts it in those
set "SYSPREP=%DIB_FIRSTBOOT%scripts\0099-windows-autounattend-sysprep.cmd"
if "%DIB_WINDOWS_SYSPREP%"=="1" if exist "%SYSPREP%" goto later
"%SYSTEM32%\sc.exe" config cloudbase-init start= auto
if not "%ERRORLEVEL%"=="0" exit /b 1
"%SYSTEM32%\sc.exe" start cloudbase-init
exit /b %CODE%

:later
"%SYSTEM32%\sc.exe" config cloudbase-init start= demand
if not "%ERRORLEVEL%"=="0" exit /b 1
>>"%DIB_FIRSTBOOT%services.txt" echo cloudbase-init
exit /b %CODE%
